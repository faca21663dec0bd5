-- clientId keeps comparing byte by byte: the collation before it would take lamp and Lamp for the same id,
-- and the rows of one of them would have to go.
ALTER TABLE twin
  DROP INDEX twin_unsettled,
  DROP INDEX twin_untold,
  DROP COLUMN version,
  DROP COLUMN revision,
  DROP COLUMN applied_epoch,
  DROP COLUMN applied_number,
  DROP COLUMN sent,
  DROP COLUMN online,
  DROP COLUMN session,
  DROP COLUMN unsettled,
  DROP COLUMN untold;

DROP TABLE twin_manager;
