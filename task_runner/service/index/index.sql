-- The index of all tasks. The truth is in the task directories: this file can be deleted at any
-- time the service is down, and is made anew from them.
-- Each statement has a name; `index.py` runs them by it.

-- name: tables
-- Statements that are run one after the other end with two semicolons.
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of submission
    task_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    over INTEGER NOT NULL,                  -- 1: nothing more is expected to happen
    owner TEXT,                             -- the worker that starts and watches it; NULL: it waits, or is over
    priority INTEGER NOT NULL,
    machine TEXT NOT NULL,
    created_at TEXT NOT NULL,
    asked TEXT NOT NULL,                    -- JSON: what was asked for, without parameters and env
    record TEXT NOT NULL,                   -- JSON: the status file as it was last seen
    place TEXT,                             -- JSON: what the environment says of it, when it runs elsewhere
    outcome TEXT,                           -- of the record, as is the exit code
    exit_code INTEGER,
    finished_at TEXT                        -- NULL: it is not over
);;
CREATE INDEX tasks_by_end ON tasks (finished_at, seq) WHERE over = 1;;
CREATE INDEX tasks_by_state ON tasks (state, seq);;
CREATE INDEX tasks_by_machine ON tasks (machine, seq);;
CREATE INDEX tasks_by_creation ON tasks (created_at);;
CREATE INDEX tasks_active ON tasks (owner) WHERE over = 0;;
CREATE INDEX tasks_waiting ON tasks (priority DESC, seq) WHERE over = 0 AND owner IS NULL;;
-- In the order of the key: SQLite 3.40 takes columns in another one for damaged (quick_check).
CREATE TABLE labels (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    seq INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    PRIMARY KEY (name, value, seq)
) WITHOUT ROWID;;
CREATE INDEX labels_by_task ON labels (seq);;
CREATE TABLE sizes (                        -- of tasks that are over, once somebody asks for them
    seq INTEGER PRIMARY KEY REFERENCES tasks ON DELETE CASCADE,
    bytes INTEGER NOT NULL
);;
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL,
    state TEXT NOT NULL,                    -- a state, or 'deleted'
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    outcome TEXT,
    exit_code INTEGER
);;
CREATE TABLE epoch (name TEXT NOT NULL)     -- of this index; cursors of another are void

-- name: check
-- Fails in a file whose tables are not ours.
SELECT seq, task_id, state, over, owner, priority, asked, record FROM tasks LIMIT 0;;
SELECT seq, name, value FROM labels LIMIT 0;;
SELECT number, task_id, state, at, outcome, exit_code FROM events LIMIT 0;;
SELECT name FROM epoch LIMIT 0

-- name: triggers
-- Every change of a state is an event, whoever makes it.
CREATE TRIGGER task_added AFTER INSERT ON tasks BEGIN
    INSERT INTO events (task_id, state, outcome, exit_code)
    VALUES (NEW.task_id, NEW.state, NEW.outcome, NEW.exit_code);
END;;
CREATE TRIGGER task_changed AFTER UPDATE OF state ON tasks WHEN OLD.state != NEW.state BEGIN
    INSERT INTO events (task_id, state, outcome, exit_code)
    VALUES (NEW.task_id, NEW.state, NEW.outcome, NEW.exit_code);
END;;
CREATE TRIGGER task_removed AFTER DELETE ON tasks BEGIN
    INSERT INTO events (task_id, state) VALUES (OLD.task_id, 'deleted');
END

-- name: remove_former
-- Of two tasks with one identifier the directory of the older is gone.
DELETE FROM tasks WHERE task_id = :task_id AND created_at < :created_at;

-- name: add
INSERT INTO tasks (task_id, state, over, owner, priority, machine, created_at, asked, record,
                   outcome, exit_code, finished_at)
VALUES (:task_id, :state, :over, :owner, :priority, :machine, :created_at, :asked, :record,
        :outcome, :exit_code, :finished_at)
ON CONFLICT (task_id) DO NOTHING;

-- name: add_label
INSERT INTO labels (seq, name, value) VALUES (?, ?, ?);

-- name: get
SELECT * FROM tasks WHERE task_id = ?;

-- name: task_ids
SELECT task_id FROM tasks;

-- name: change
UPDATE tasks SET state = :state, record = :record, outcome = :outcome, exit_code = :exit_code
WHERE task_id = :task_id AND over = 0;

-- name: finish
-- A lost task may still get a result; nothing else that is over changes.
UPDATE tasks SET state = :state, record = :record, outcome = :outcome, exit_code = :exit_code,
                 over = 1, owner = NULL, finished_at = :finished_at
WHERE task_id = :task_id AND (over = 0 OR state = 'lost') AND state != 'exited';

-- name: set_place
UPDATE tasks SET place = ? WHERE task_id = ?;

-- name: remove
DELETE FROM tasks WHERE task_id = :task_id AND created_at = coalesce(:created_at, created_at);

-- name: claim
UPDATE tasks SET owner = :owner WHERE task_id = :task_id AND owner IS NULL AND over = 0;

-- name: count_claimed
SELECT count(*) FROM tasks WHERE over = 0 AND owner IS NOT NULL;

-- name: next_waiting
SELECT task_id FROM tasks WHERE over = 0 AND owner IS NULL ORDER BY priority DESC, seq LIMIT ?;

-- name: owners
SELECT DISTINCT owner FROM tasks WHERE over = 0 AND owner IS NOT NULL;

-- name: owned
SELECT task_id FROM tasks WHERE over = 0 AND owner = ?;

-- name: take_over
UPDATE tasks SET owner = :owner WHERE over = 0 AND owner = :dead;

-- name: events_after
SELECT number, task_id, state, at, outcome, exit_code FROM events
WHERE number > ? ORDER BY number LIMIT ?;

-- name: last_event
SELECT coalesce(max(number), 0) FROM events;

-- name: first_event
SELECT coalesce(min(number), 0) FROM events;

-- name: forget_events
DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?;

-- name: count_states
SELECT state, count(*) FROM tasks GROUP BY state;

-- name: finished_totals
SELECT (SELECT count(*) FROM tasks WHERE over = 1), (SELECT coalesce(sum(bytes), 0) FROM sizes);

-- name: finished_after
-- In the order of their ends.
SELECT task_id, finished_at, seq, coalesce(bytes, 0) AS size FROM tasks LEFT JOIN sizes USING (seq)
WHERE over = 1 AND (finished_at, seq) > (?, ?) ORDER BY finished_at, seq LIMIT ?;

-- name: unmeasured
SELECT task_id FROM tasks LEFT JOIN sizes USING (seq) WHERE over = 1 AND bytes IS NULL LIMIT ?;

-- name: note_size
INSERT OR REPLACE INTO sizes (seq, bytes) SELECT seq, ? FROM tasks WHERE task_id = ?;

-- name: epoch
SELECT name FROM epoch;

-- name: begin_epoch
INSERT INTO epoch (name) SELECT ? WHERE NOT EXISTS (SELECT * FROM epoch);
