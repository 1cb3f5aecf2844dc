"""The journal's tables, and the changes that bring an older journal to this version."""

VERSION = 4
SCHEMA = """
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,           -- launchId, or the path of a file that no keeper wrote
    kind TEXT NOT NULL,                 -- launch, file
    labels TEXT NOT NULL DEFAULT '{}',  -- of its streams, without ids from its lines; JSON
    first_seen_ns INTEGER NOT NULL,
    listed_ns INTEGER NOT NULL DEFAULT 0, -- while it has no file: those rotated away since then are read
    state TEXT NOT NULL DEFAULT '{}',   -- of the parser, at the position; JSON
    lines INTEGER NOT NULL DEFAULT 0,   -- acknowledged
    bytes INTEGER NOT NULL DEFAULT 0,
    entries INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    redacted INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE looks (                    -- one row
    listed_ns INTEGER NOT NULL          -- of the last look for logs of which each is among the sources
) STRICT;
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    real_path TEXT NOT NULL DEFAULT '', -- of the file itself, if path is a link to it
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    position INTEGER NOT NULL DEFAULT 0,
    head BLOB NOT NULL DEFAULT x'',     -- the first bytes, to recognise the file
    tail BLOB NOT NULL DEFAULT x'',     -- the bytes before the position, to detect a replaced content
    size INTEGER NOT NULL DEFAULT 0,    -- the largest size seen
    seen_ns INTEGER NOT NULL DEFAULT 0, -- when it was first seen
    done INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX files_of_source ON files(source_id);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE,
    file_id INTEGER REFERENCES files(id) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    head BLOB NOT NULL,
    tail BLOB NOT NULL,
    lines INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    redacted INTEGER NOT NULL,
    completes INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE intents (
    id INTEGER PRIMARY KEY,
    batch_id INTEGER NOT NULL REFERENCES batches(id) ON DELETE CASCADE,
    labels TEXT NOT NULL,               -- JSON
    body BLOB NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    rows TEXT NOT NULL DEFAULT '[]',    -- runs of lines: index of an entry, index of its line; JSON
    retimed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    source_id INTEGER REFERENCES sources(id) ON DELETE SET NULL,
    path TEXT,
    start INTEGER,                      -- byte range of the batch that contains the line
    end INTEGER,
    offset INTEGER,                     -- of the line itself, if it is known
    labels TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    line BLOB NOT NULL,
    meta BLOB NOT NULL,
    reason TEXT NOT NULL,
    rejected_at REAL NOT NULL
) STRICT;
"""

MIGRATIONS = (
    "",
    """
    ALTER TABLE intents DROP COLUMN first_index;
    ALTER TABLE intents ADD COLUMN rows TEXT NOT NULL DEFAULT '[]';
    """,
    "ALTER TABLE files ADD COLUMN real_path TEXT NOT NULL DEFAULT '';",
    """
    ALTER TABLE sources ADD COLUMN listed_ns INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE looks (listed_ns INTEGER NOT NULL) STRICT;
    """,
)
"""By version: the SQL that leads to the next version."""
