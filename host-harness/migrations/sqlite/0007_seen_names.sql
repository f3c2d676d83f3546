-- What people recognise a partner by that has no link.
ALTER TABLE metakocka_seen ADD COLUMN code TEXT;
ALTER TABLE metakocka_seen ADD COLUMN name TEXT;
ALTER TABLE metakocka_seen ADD COLUMN email TEXT;
ALTER TABLE metakocka_seen ADD COLUMN phone TEXT;
