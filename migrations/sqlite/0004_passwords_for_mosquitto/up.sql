-- The passwords of users as mosquitto keeps them: EMQX's hashes are of no use to it.
CREATE TABLE twin_mosquitto (
  username TEXT NOT NULL PRIMARY KEY,
  password TEXT NOT NULL
);
