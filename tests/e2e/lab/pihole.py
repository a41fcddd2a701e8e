"""What a Pi-hole keeps: its folder, with the tables of gravity.db that matter."""

import sqlite3

_TABLES = """
    CREATE TABLE "group" (id INTEGER PRIMARY KEY, enabled BOOLEAN, name TEXT);
    CREATE TABLE adlist (id INTEGER PRIMARY KEY, address TEXT, enabled BOOLEAN);
    CREATE TABLE domainlist (id INTEGER PRIMARY KEY, type INTEGER, domain TEXT, enabled BOOLEAN);
    CREATE TABLE client (id INTEGER PRIMARY KEY, ip TEXT);
    CREATE TABLE adlist_by_group (adlist_id INTEGER, group_id INTEGER);
    CREATE TABLE domainlist_by_group (domainlist_id INTEGER, group_id INTEGER);
    CREATE TABLE client_by_group (client_id INTEGER, group_id INTEGER);
    INSERT INTO "group" VALUES (0, 1, 'Default');
"""


def make_folder(folder, rows, custom_list):
    """`rows`: SQL that fills the tables; `custom_list`: its local names."""
    folder.mkdir()
    with sqlite3.connect(folder / "gravity.db") as db:
        db.executescript(_TABLES + rows)
    (folder / "custom.list").write_text(custom_list)
    return folder
