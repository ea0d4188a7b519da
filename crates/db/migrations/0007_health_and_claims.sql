-- Written by whoever asks whether the database takes writes.
CREATE TABLE health (
  id BIGINT NOT NULL PRIMARY KEY,
  written BIGINT NOT NULL
);
-- What a resource alone may have, such as a definition's publisher, offer and sku in its gallery: two
-- that are written at the same time cannot both have it.
ALTER TABLE resources ADD COLUMN claim TEXT COLLATE "C";
CREATE UNIQUE INDEX resources_by_claim ON resources (kind, claim) WHERE claim IS NOT NULL;
