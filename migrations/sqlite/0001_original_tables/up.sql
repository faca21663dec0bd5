-- The tables as the original manager and EMQX 4 have them, in SQLite's words.
CREATE TABLE IF NOT EXISTS twin (
  clientId     TEXT NOT NULL PRIMARY KEY,
  reported     TEXT,
  reportedMeta TEXT,
  desired      TEXT,
  desiredMeta  TEXT,
  declined     TEXT,
  declinedMeta TEXT
);

CREATE TABLE IF NOT EXISTS mqtt_acl (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  allow    INTEGER DEFAULT 1,
  ipaddr   TEXT,
  username TEXT,
  clientid TEXT,
  access   INTEGER NOT NULL,
  topic    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS mqtt_acl_ipaddr ON mqtt_acl (ipaddr);
CREATE INDEX IF NOT EXISTS mqtt_acl_username ON mqtt_acl (username);
CREATE INDEX IF NOT EXISTS mqtt_acl_clientid ON mqtt_acl (clientid);

CREATE TABLE IF NOT EXISTS mqtt_user (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  username     TEXT UNIQUE,
  password     TEXT,
  salt         TEXT,
  is_superuser INTEGER DEFAULT 0,
  created      TEXT
);
