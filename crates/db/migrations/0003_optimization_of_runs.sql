-- What the optimization of boot and disk brought, as JSON; runs without one have none.
ALTER TABLE runs ADD COLUMN optimization TEXT;
