DROP TABLE twin_deleted;
