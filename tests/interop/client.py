"""An application, written with paho-mqtt alone, that plays through all it may ask the manager for.

    client.py HOST PORT 3.1.1|5 ID GROUP

ID is a device.py that is online before this starts, and a member of GROUP. At the end its twin is forgotten;
after its next report all can be played again. Prints a line that begins with `ok` for each step; or one that
begins with `failed`, and ends.
"""

import time
import uuid

from peer import Failed, Peer, contains, play, say, shorten

TOO_BRIGHT = 200


class Application:
    def __init__(self, peer, name, thing, group):
        self.peer, self.name, self.thing, self.group = peer, name, thing, group
        self.queries = 0

    # How it asks.

    def ask(self, owner, verb, payload, **way):
        """Sends a request to a twin or a group."""
        self.peer.publish(f"{owner}/TWIN/{verb}", payload, **way)

    def get(self):
        """The twin as it is now."""
        self.ask(self.thing, "GET", {"GET": 1})
        return self.expect_twin(lambda twin: True, "at all")

    def set(self, members):
        """Asks the thing for something that it is not, and gives the twin when that is settled."""
        before = self.get()["desired"].get("trn", 0)
        self.ask(self.thing, "SET", {"set": members})

        def is_settled(twin):
            return set(twin["desired"]) == {"trn"} and twin["desired"]["trn"] > before

        return self.expect_twin(is_settled, f"settled after {members}")

    def expect_twin(self, predicate, what):
        return self.peer.expect(f"{self.thing}/TWIN/UPD", predicate, what=what).json()

    def query(self, owner, verb, payload, **way):
        """Sends a request with a query of its own, and gives what comes back for it."""
        self.queries += 1
        query = f"{self.name} {self.queries}"
        self.ask(owner, verb, {**payload, "query": query}, **way)
        topic = f"{owner}/TWIN/RES"
        answer = self.peer.expect(topic, lambda res: res["query"] == query, what=f"for {payload}")
        return without_query(answer.json())

    def id_of_thing(self):
        return self.thing.split("/")[1]


# The steps. Each leaves the twin settled.


def a_plain_get_gives_the_whole_twin(app):
    app.ask(app.thing, "GET", {"GET": 1})
    twin = app.expect_twin(lambda twin: contains(twin["reported"], {"net": {"up": True}}), "with net")
    documents = ("desired", "reported", "declined")
    members = {*documents, *(f"{name}Meta" for name in documents), "version", "online"}
    equal(set(twin), members, "the members of the twin")
    equal(twin["online"], True, "online")
    must(twin["version"] >= 1, "the version is 1 or more", twin)
    equal(set(twin["reportedMeta"]), {*twin["reported"], "timestamp"}, "the members of reportedMeta")


def a_get_of_an_unknown_thing_is_answered_with_nothing(app):
    unknown = f"TNG/{app.name}-unknown"
    app.ask(unknown, "GET", {})
    twin = app.peer.expect(f"{unknown}/TWIN/UPD", lambda twin: True).json()
    equal((twin["version"], twin["online"], twin["reported"]), (0, None, {}), "what is known")


def a_set_that_is_accepted_is_settled(app):
    on = not app.get()["reported"]["on"]
    brightness = 70 if app.get()["reported"]["brightness"] != 70 else 71
    twin = app.set({"on": on, "brightness": brightness})
    must(contains(twin["reported"], {"on": on, "brightness": brightness}), "reported is as asked", twin)
    equal(twin["declined"], {}, "declined")
    equal(twin["reported"]["trn"], twin["desired"]["trn"], "the trn of the answer")


def a_set_that_is_declined_stands_in_declined(app):
    before = app.get()["reported"]["brightness"]
    twin = app.set({"brightness": TOO_BRIGHT})
    equal(twin["declined"], {"brightness": TOO_BRIGHT}, "declined")
    equal(twin["reported"]["brightness"], before, "the brightness")
    age_s = time.time() - twin["declinedMeta"]["brightness"] / 1e9
    must(abs(age_s) < 60, "declinedMeta has the time of now in nanoseconds", twin)


def what_is_settled_later_leaves_declined(app):
    twin = app.set({"brightness": 60})
    equal((twin["declined"], twin["reported"]["brightness"]), ({}, 60), "declined, brightness")


def nested_values_merge_and_arrays_replace(app):
    name = {"de": "Glühlampe", "": "💡"}
    twin = app.set({"net": {"ip": "10.0.0.8", "v6": {"hops": [64, 1.5]}}, "rgb": [9], "name": name})
    net = {"ip": "10.0.0.8", "up": True, "v6": {"hops": [64, 1.5]}}
    for member, value in {"net": net, "rgb": [9], "name": name}.items():
        equal(twin["reported"][member], value, member)
    equal(twin["declined"], {}, "declined")


def null_removes_a_member(app):
    app.set({"scene": "night"})
    twin = app.set({"scene": None, "net": {"v6": None}})
    must("scene" not in twin["reported"], "reported has no scene", twin)
    must("v6" not in twin["reported"]["net"], "reported.net has no v6", twin)
    equal(twin["declined"], {}, "declined")


def a_query_selects_renames_and_orients(app):
    thing = app.id_of_thing()
    reported = app.get()["reported"]
    columns = ["id", "level", "reported.net.ip", "reported.rgb[0]", "reported.nothing"]
    condition = [
        {"column": "reported.brightness", "op": ">=", "value": reported["brightness"]},
        {"not": {"column": "clientId", "op": "LIKE", "value": "\\%%"}},
    ]
    question = {
        "select": ["clientId", "reported.brightness", *columns[2:]],
        "as": columns[:2],
        "where": {"and": condition},
        "orient": "split",
    }
    row = [thing, reported["brightness"], reported["net"]["ip"], reported["rgb"][0], None]
    answer = app.query(app.thing, "GET", question)
    equal(answer, {"res": {"columns": columns, "index": [0], "data": [row]}}, "the answer")
    answer = app.query(app.thing, "GET", {**question, "where": {"not": question["where"]}})
    equal(answer, {"res": {"columns": columns, "index": [], "data": []}}, "the answer without a row")


def a_group_is_asked_for_its_members(app):
    thing = app.id_of_thing()
    question = {
        "select": ["clientId", "groupId", "reported.net"],
        "as": ["id", "group", "net"],
        "where": {"column": "clientId", "op": "IN", "value": [thing, "nobody"]},
    }
    row = {"id": thing, "group": app.group.split("/")[1], "net": app.get()["reported"]["net"]}
    equal(app.query(app.group, "GET", question), {"res": [row]}, "the answer")


def a_set_of_a_group_tells_its_outcome(app):
    thing = app.id_of_thing()
    request = {"set": {"brightness": 50}, "from": [thing, "nobody"]}
    outcome = {"members": 1, "changed": [thing], "unchanged": [], "refused": ["nobody"]}
    equal(app.query(app.group, "SET", request), {"set": outcome}, "the outcome")
    twin = app.expect_twin(lambda twin: twin["reported"]["brightness"] == 50, "as the group was set")
    equal(set(twin["desired"]), {"trn"}, "the members of desired")
    outcome.update(changed=[], unchanged=[thing])
    equal(app.query(app.group, "SET", request), {"set": outcome}, "the outcome of the same again")
    whole = app.query(app.group, "SET", {"set": {"brightness": 51}})["set"]
    must(thing in whole["changed"] and whole["refused"] == [], "the whole group has changed", whole)
    equal(whole["members"], len(whole["changed"]) + len(whole["unchanged"]), "members")
    app.expect_twin(lambda twin: twin["reported"]["brightness"] == 51, "as the whole group was set")


def an_unknown_column_is_an_error(app):
    for owner in (app.thing, app.group):
        error = app.query(owner, "GET", {"select": ["reported.on", "colour"]})["error"]
        equal(error["code"], 422, "the code")
        must('"colour"' in error["message"], "the message names the column", error)


def a_set_at_another_version_is_an_error(app):
    version = app.get()["version"]
    request = {"set": {"brightness": 52}, "version": version - 1}
    equal(app.query(app.thing, "SET", request)["error"]["code"], 409, "the code")
    equal(app.get()["version"], version, "the version")


def a_response_topic_gets_the_answers_too(app):
    """Only MQTT 5 has them."""
    topic = f"TNG/{app.name}/TPC/RES/1"

    def answered(correlation):
        came = app.peer.expect(topic, lambda _: True, what=f"in answer to {correlation!r}")
        equal(came.correlation, correlation, "the correlation data")
        return came.json()

    def way(correlation):
        return {"response_topic": topic, "correlation": correlation}

    app.ask(app.thing, "GET", {}, **way(b"get\x00\xff"))
    twin = app.expect_twin(lambda twin: True, "at all")
    equal(answered(b"get\x00\xff"), twin, "the twin")
    answer = app.query(app.thing, "GET", {"select": ["version"]}, **way(b"query"))
    equal(without_query(answered(b"query")), answer, "the answer to a query")
    error = app.query(app.group, "GET", {"select": ["colour"]}, **way(b"error"))
    equal(answered(b"error")["error"], error["error"], "the error")
    app.ask(app.thing, "SET", {"set": {"brightness": 53}}, **way(b"set"))
    equal(answered(b"set")["desired"]["brightness"], 53, "what is desired")
    app.expect_twin(lambda twin: twin["reported"]["brightness"] == 53, "as it was set")


def a_twin_that_is_deleted_is_forgotten(app):
    equal(app.query(app.thing, "DEL", {}), {"deleted": True}, "the answer")
    equal(app.query(app.thing, "DEL", {}), {"deleted": False}, "the answer to the same again")
    equal(app.get()["version"], 0, "the version")


STEPS = [
    a_plain_get_gives_the_whole_twin,
    a_get_of_an_unknown_thing_is_answered_with_nothing,
    a_set_that_is_accepted_is_settled,
    a_set_that_is_declined_stands_in_declined,
    what_is_settled_later_leaves_declined,
    nested_values_merge_and_arrays_replace,
    null_removes_a_member,
    a_query_selects_renames_and_orients,
    a_group_is_asked_for_its_members,
    a_set_of_a_group_tells_its_outcome,
    an_unknown_column_is_an_error,
    a_set_at_another_version_is_an_error,
    a_response_topic_gets_the_answers_too,
    a_twin_that_is_deleted_is_forgotten,
]


def without_query(answer):
    return {name: value for name, value in answer.items() if name != "query"}


def must(holds, what, seen):
    if not holds:
        raise Failed(shorten(f"it does not hold that {what}: {seen}"))


def equal(is_so, should_be, what):
    if is_so != should_be:
        raise Failed(shorten(f"{what} should be {should_be}, and is {is_so}"))


def main(host, port, version, thing, group):
    name = f"app-{uuid.uuid4().hex[:8]}"
    answers = ["TNG/+/TWIN/UPD", "TNG/+/TWIN/RES", f"GRP/{group}/TWIN/RES", f"TNG/{name}/TPC/RES/#"]
    peer = Peer(host, int(port), version, name, answers).ready()
    app = Application(peer, name, f"TNG/{thing}", f"GRP/{group}")
    for step in STEPS:
        words = step.__name__.replace("_", " ")
        if step is a_response_topic_gets_the_answers_too and version != "5":
            continue
        try:
            step(app)
        except Failed as error:
            raise Failed(f"{words}: {error}") from None
        say(f"ok {words}")
    peer.end()


play(main, ["HOST", "PORT", "3.1.1|5", "ID", "GROUP"])
