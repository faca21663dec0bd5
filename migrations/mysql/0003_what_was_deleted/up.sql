-- What was deleted, and by which message of the inbox: that message, and those before it, are not done again.
CREATE TABLE twin_deleted (
  clientId       varchar(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  applied_epoch  bigint NOT NULL,
  applied_number bigint NOT NULL
) ENGINE=InnoDB;
