-- The passwords of users as mosquitto keeps them: EMQX's hashes are of no use to it.
CREATE TABLE twin_mosquitto (
  username varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  password varchar(255) NOT NULL
) ENGINE=InnoDB;
