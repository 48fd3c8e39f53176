-- In which order transactions were committed, as far as they published to the same channel (PostgreSQL).
--
-- The number of a row says when it was written, and a transaction that wrote first may be committed last. So rows get their
-- `place` while their transaction is being committed, under locks that it holds until the others can see it: whoever waits for
-- such a lock gets a higher place, and sees all rows with a lower one.
--
-- A transaction takes all its locks at once and in their order, so that two that share channels cannot wait for each other.
-- Channels share 1,024 locks, because all locks of a server share one table. Which of them a transaction needs is kept in a
-- setting of the transaction and not read from the rows, and a row is found where it lies: looking into an index would have
-- serializable transactions fail that have nothing to do with each other. Savepoints that are rolled back take their part of the setting with them.
--
-- search_path is that of whoever made the functions: whoever commits may have another one.

CREATE OR REPLACE FUNCTION hubbub_outbox_note() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  bucket text := (hashtext(NEW.channel) & 1023)::text;
  noted text := coalesce(current_setting('hubbub.outbox_buckets', true), '');
BEGIN
  IF position(',' || bucket || ',' IN noted) = 0 THEN
    PERFORM set_config('hubbub.outbox_buckets', coalesce(nullif(noted, ''), ',') || bucket || ',', true);
  END IF;
  RETURN NEW;
END $$;
-- next
CREATE OR REPLACE FUNCTION hubbub_outbox_place() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  noted text := coalesce(current_setting('hubbub.outbox_buckets', true), '');
  bucket int;
BEGIN
  IF noted <> '' THEN
    FOR bucket IN SELECT b::int FROM unnest(string_to_array(trim(BOTH ',' FROM noted), ',')) AS b ORDER BY 1 LOOP
      PERFORM pg_advisory_xact_lock(1752523362, bucket);
    END LOOP;
    PERFORM set_config('hubbub.outbox_place', nextval('hubbub_outbox_places')::text, true);
    PERFORM set_config('hubbub.outbox_buckets', '', true);
  END IF;
  UPDATE hubbub_outbox SET place = current_setting('hubbub.outbox_place')::bigint WHERE ctid = NEW.ctid;
  IF NOT FOUND THEN  -- it was changed, or deleted, by the transaction that wrote it
    UPDATE hubbub_outbox SET place = current_setting('hubbub.outbox_place')::bigint WHERE id = NEW.id AND place IS NULL;
  END IF;
  RETURN NULL;
END $$;
-- next
CREATE TRIGGER hubbub_outbox_note BEFORE INSERT ON hubbub_outbox
  FOR EACH ROW WHEN (NEW.place IS NULL) EXECUTE FUNCTION hubbub_outbox_note();
-- next
CREATE CONSTRAINT TRIGGER hubbub_outbox_place AFTER INSERT ON hubbub_outbox DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.place IS NULL) EXECUTE FUNCTION hubbub_outbox_place();
