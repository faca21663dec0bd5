-- SQLite compares ids byte by byte as it is.
CREATE TABLE IF NOT EXISTS twin_manager (
  name  TEXT NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);

-- The defaults are for rows that were there before, and for those that others insert: they are looked at once.
ALTER TABLE twin ADD COLUMN version        BIGINT NOT NULL DEFAULT 1;
ALTER TABLE twin ADD COLUMN revision       BIGINT NOT NULL DEFAULT 1;
ALTER TABLE twin ADD COLUMN applied_epoch  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE twin ADD COLUMN applied_number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE twin ADD COLUMN sent           TEXT;
ALTER TABLE twin ADD COLUMN online         BOOLEAN;
ALTER TABLE twin ADD COLUMN session        BIGINT NOT NULL DEFAULT 0;
ALTER TABLE twin ADD COLUMN unsettled      BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE twin ADD COLUMN untold         BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX twin_unsettled ON twin (unsettled, clientId);
CREATE INDEX twin_untold ON twin (untold, clientId);
