-- What was deleted, and by which message of the inbox: that message, and those before it, are not done again.
CREATE TABLE twin_deleted (
  clientId       TEXT NOT NULL PRIMARY KEY,
  applied_epoch  BIGINT NOT NULL,
  applied_number BIGINT NOT NULL
);
