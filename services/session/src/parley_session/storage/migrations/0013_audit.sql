-- expand
-- The audit trail: its records, which are a hash chain, the end of the chain, and the outbox.

CREATE TABLE audit_chain (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    stream_id uuid NOT NULL DEFAULT gen_random_uuid(),
    sequence bigint NOT NULL DEFAULT 0, -- of the last record
    time timestamptz NOT NULL DEFAULT '-infinity',
    hash text NOT NULL DEFAULT repeat('0', 64)
) WITH (fillfactor = 50);

INSERT INTO audit_chain DEFAULT VALUES;

CREATE TABLE audit_records (
    stream_id uuid NOT NULL,
    sequence bigint NOT NULL,
    id uuid NOT NULL, -- increases with the sequence
    type text NOT NULL,
    time timestamptz NOT NULL, -- by the clock of the database
    data json NOT NULL, -- byte for byte the value of the record in the log
    traceparent text,
    hash text NOT NULL,
    tenant text GENERATED ALWAYS AS (data ->> 'tenant') STORED,
    person text GENERATED ALWAYS AS (data -> 'actor' ->> 'user') STORED,
    action text GENERATED ALWAYS AS (data ->> 'action') STORED,
    PRIMARY KEY (stream_id, sequence)
);

CREATE INDEX audit_records_of_tenant ON audit_records (tenant, id);
CREATE INDEX audit_records_of_person ON audit_records (tenant, person, id);
CREATE INDEX audit_records_of_action ON audit_records (tenant, action, id);
CREATE INDEX audit_records_of_limits ON audit_records (sequence) WHERE action = 'limits.changed';

CREATE TABLE audit_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id uuid NOT NULL,
    sequence bigint NOT NULL,
    bytes integer NOT NULL
);

-- Appends a record, a JSON object to which the hash of the previous one is added, and returns its
-- sequence. The end of the chain stays locked until the transaction ends, so this comes last in it.
CREATE FUNCTION append_audit_record(record_data text, record_traceparent text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    record_type CONSTANT text := 'parley.audit.audit_recorded.v1';
    head audit_chain;
    record_time timestamptz;
    record_id uuid;
    record_value text;
    microseconds bigint;
BEGIN
    SELECT * INTO STRICT head FROM audit_chain FOR UPDATE;
    -- After the lock: times are in the order of the sequences, also if a clock was set back.
    record_time := greatest(head.time, clock_timestamp());
    head.sequence := head.sequence + 1;
    -- A UUIDv7 (RFC 9562, section 6.2, methods 3 and 1): milliseconds, microseconds, the sequence
    -- as a counter, and 28 random bits.
    microseconds := (extract(epoch FROM record_time) * 1000000)::bigint;
    record_id := lpad(to_hex(microseconds / 1000), 12, '0')
        || '7' || lpad(to_hex(microseconds % 1000), 3, '0')
        || '8' || lpad(to_hex(head.sequence % 4294967296), 8, '0')
        || left(gen_random_uuid()::text, 7);
    record_value := left(record_data, -1) || ',"previous":"' || head.hash || '"}';
    head.hash := encode(sha256(convert_to(
        record_id || E'\n' || head.sequence || E'\n'
            || to_char(record_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || E'\n'
            || record_type || E'\n' || record_value,
        'UTF8'
    )), 'hex');
    INSERT INTO audit_records (stream_id, sequence, id, type, time, data, traceparent, hash)
        VALUES (
            head.stream_id, head.sequence, record_id, record_type, record_time, record_value::json,
            record_traceparent, head.hash
        );
    INSERT INTO audit_outbox (stream_id, sequence, bytes)
        VALUES (head.stream_id, head.sequence, octet_length(record_value));
    UPDATE audit_chain SET sequence = head.sequence, time = record_time, hash = head.hash;
    RETURN head.sequence;
END
$$;
