-- What the example DAGs read beside the customers.
CREATE TABLE members (customer_id TEXT, first_name TEXT, region TEXT, cups INTEGER);
INSERT INTO members VALUES
    ('m-1', 'Kim', 'north', 3), ('m-2', 'Bo', 'north', 10), ('m-3', 'Ada', 'east', 19), ('m-4', 'Żofia', 'south', 0);

CREATE TABLE launch_prices (shop TEXT, price REAL);
INSERT INTO launch_prices VALUES ('North door', 3.20), ('Harbour', 3.50), ('Market', 3.20);
-- One of them comes after nine, so that the launch moves to noon.
CREATE TABLE deliveries (arrives_at TEXT);
INSERT INTO deliveries VALUES ('08:15'), ('10:40');

CREATE TABLE match_followers (customer_id TEXT, match_id TEXT);
INSERT INTO match_followers VALUES ('m-1', '2026-0042'), ('m-2', '2026-0042'), ('m-4', '2026-0042');
CREATE TABLE scoreboard (match_id TEXT, phase TEXT, home INTEGER, away INTEGER);
INSERT INTO scoreboard VALUES
    ('2026-0042', 'half-time', 1, 0), ('2026-0042', 'second half', 1, 1), ('2026-0042', 'end', 2, 1);

-- Paid tomorrow, so that they are new whenever the DAG looks.
CREATE TABLE orders (number INTEGER, customer_id TEXT, counter TEXT, total REAL, paid_at TEXT);
INSERT INTO orders VALUES
    (1001, 'm-1', 'North door', 4.50, datetime('now', '+1 day')),
    (1002, 'm-3', 'Harbour', 7.20, datetime('now', '+1 day')),
    (1003, 'm-4', 'Market', 3.20, datetime('now', '+1 day'));
