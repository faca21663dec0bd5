CREATE TABLE IF NOT EXISTS twin_manager (
  name  varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  value bigint NOT NULL
) ENGINE=InnoDB;

-- One statement, so that it happens as a whole or not at all. Ids compare byte by byte from here on.
-- The defaults are for rows that were there before, and for those that others insert: they are looked at once.
ALTER TABLE twin
  MODIFY clientId     varchar(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  MODIFY reported     longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  MODIFY reportedMeta longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  MODIFY desired      longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  MODIFY desiredMeta  longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  MODIFY declined     longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  MODIFY declinedMeta longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD COLUMN version        bigint NOT NULL DEFAULT 1,
  ADD COLUMN revision       bigint NOT NULL DEFAULT 1,
  ADD COLUMN applied_epoch  bigint NOT NULL DEFAULT 0,
  ADD COLUMN applied_number bigint NOT NULL DEFAULT 0,
  ADD COLUMN sent           longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD COLUMN online         tinyint(1) DEFAULT NULL,
  ADD COLUMN session        bigint NOT NULL DEFAULT 0,
  ADD COLUMN unsettled      tinyint(1) NOT NULL DEFAULT 1,
  ADD COLUMN untold         tinyint(1) NOT NULL DEFAULT 0,
  ADD INDEX twin_unsettled (unsettled, clientId),
  ADD INDEX twin_untold (untold, clientId);
