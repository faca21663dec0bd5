-- Drops nothing: the tables may have been there before us, and others use them.
SELECT 1;
