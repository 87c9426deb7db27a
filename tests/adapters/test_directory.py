"""Rules of the customer directory in a file: a row that makes no sense is told by its place, and none is guessed at."""

import json
import os
from pathlib import Path

import pytest

from zlh_hooks.adapters.directory import parse_customers
from zlh_hooks.adapters.directory_file import DirectoryFile
from zlh_hooks.domain.errors import RoadError, SettingsError
from zlh_hooks.domain.notice import Customer

TABLE = """id,name,guests,mail,webhook,time_zone
7,Fox & Sons,5001 5002,noc@fox.example,https://hooks.example/fox?key=s3cret,Europe/Berlin
8,"Käse, GmbH",5003,,,
9,Nobody yet,,,,
"""
FOX = Customer(
    *("7", "Fox & Sons", frozenset({5001, 5002}), "noc@fox.example"),
    *("https://hooks.example/fox?key=s3cret", "Europe/Berlin"),
)
CUSTOMERS = (FOX, Customer("8", "Käse, GmbH", frozenset({5003})), Customer("9", "Nobody yet", frozenset()))
ROWS = [
    {
        "id": 7,
        "name": "Fox & Sons",
        "guests": [5001, 5002],
        "mail": "noc@fox.example",
        "webhook": "https://hooks.example/fox?key=s3cret",
        "time_zone": "Europe/Berlin",
    },
    {"id": "8", "name": "Käse, GmbH", "guests": [5003], "mail": None},
    {"id": "9", "name": "Nobody yet"},
]


def write(folder: Path, text: str, name: str = "customers.csv", encoding: str = "utf-8") -> DirectoryFile:
    (folder / name).write_text(text, encoding=encoding)
    return DirectoryFile(folder / name)


def refusal(directory: DirectoryFile) -> SettingsError:
    with pytest.raises(SettingsError) as refused:
        directory.list_customers()
    assert refused.value.file == str(directory.path)
    return refused.value


def test_a_table_says_who_has_which_guests(tmp_path: Path) -> None:
    assert write(tmp_path, TABLE).list_customers() == CUSTOMERS


def test_a_json_document_says_the_same(tmp_path: Path) -> None:
    assert write(tmp_path, json.dumps(ROWS), "customers.json").list_customers() == CUSTOMERS


def test_a_table_as_an_office_program_saves_it_is_read(tmp_path: Path) -> None:
    assert write(tmp_path, TABLE.replace("\n", "\r\n"), encoding="utf-8-sig").list_customers() == CUSTOMERS


def test_columns_may_stand_in_any_order_and_those_that_are_not_needed_may_be_missing(tmp_path: Path) -> None:
    directory = write(tmp_path, "guests, name ,id\n5003 ,Fox , 7\n\n")
    assert directory.list_customers() == (Customer("7", "Fox", frozenset({5003})),)


def test_an_empty_document_is_a_directory_without_customers(tmp_path: Path) -> None:
    assert write(tmp_path, "[]", "customers.json").list_customers() == ()
    assert write(tmp_path, "id,name\n").list_customers() == ()


HEAD = "id,name,guests,mail,webhook,time_zone\n"


@pytest.mark.parametrize(
    ("text", "key", "found", "expected"),
    [
        (HEAD + "7,Fox,,,,\n7,Ox,,,,\n", "line 3: id", '"7"', "an id of its own: line 2 has this one"),
        (HEAD + "7,Fox,5001,,,\n8,Ox,5001,,,\n", "line 3: guests", "5001", "one owner for each guest: line 2 has it"),
        (HEAD + "7,Fox,5001 x,,,\n", "line 2: guests[1]", '"x"', "a whole number"),
        (HEAD + "7,Fox,99,,,\n", "line 2: guests[0]", "99", "greater than or equal to 100"),
        (HEAD + "7,Fox,5001;5002,,,\n", "line 2: guests[0]", '"5001;5002"', "a whole number"),
        (HEAD + "7,Fox,,fox,,\n", "line 2: mail", '"fox"', "a mail address such as"),
        (
            HEAD + '7,Fox,,"a@b.example\nBcc: c@d.example",,\n',
            "line 3: mail",
            '"a@b.example\\nBcc: c@d.example"',
            "a mail",
        ),
        (HEAD + "7,Fox,,,http://fox.example/s3cret,\n", "line 2: webhook", "http://fox.example/…", "a URL such as"),
        (HEAD + "7,Fox,,,,Berlin\n", "line 2: time_zone", '"Berlin"', "an IANA time zone"),
        (HEAD + '7,"Fox\nOx",,,,\n', "line 3: name", '"Fox\\nOx"', "on one line"),
        (HEAD + "7,Fox\x1b[31m,,,,\n", "line 2: name", '"Fox\\u001b[31m"', "without control characters"),
        (HEAD + ",Fox,,,,\n", "line 2: id", "nothing", "a value"),
        (HEAD + "7,,,,,\n", "line 2: name", "nothing", "a value"),
        (HEAD + "7,Fox,,,,,more\n", "line 2", "7 cells", "at most 6, as line 1 has"),
        ("id,name,email\n", "line 1", '"email"', "the columns id, name, guests, mail, webhook, time_zone"),
        ("id;name\n", "line 1", '"id;name"', "with commas between"),
        ("id,name,id\n", "line 1", '"id"', "each once"),
        ("id,guests\n", "line 1", "no name", "the columns id"),
        ("", "line 1", "no id", "the columns id"),
        (HEAD + '7,"Fox\n', "document", "unexpected end of data", "CSV with commas"),
    ],
)
def test_a_fault_in_a_table_is_told_by_its_line(tmp_path: Path, text: str, key: str, found: str, expected: str) -> None:
    error = refusal(write(tmp_path, text))
    assert (error.key, error.found) == (key, found)
    assert expected in error.expected


@pytest.mark.parametrize(
    ("document", "key", "found", "expected"),
    [
        ([{"id": "7", "name": "Fox", "guest": [5001]}], "row 1: guest", "an unknown key", 'did you mean "guests"?'),
        ([{"id": True, "name": "Fox"}], "row 1: id", "true", "a text in quotes"),
        ([{"id": "", "name": "Fox"}], "row 1: id", '""', "on one line"),
        ([{"id": "7", "name": "Fox", "guests": "5001"}], "row 1: guests", '"5001"', "an array"),
        ([{"id": "7", "name": "Fox", "guests": [True]}], "row 1: guests[0]", "true", "a whole number"),
        ([{"id": "7", "name": "Fox", "guests": ["5001"]}], "row 1: guests[0]", '"5001"', "a whole number"),
        ([{"id": "7", "name": "\ud800"}], "row 1: name", '"\ud800"', "without control characters"),
        ([{"id": "7", "name": "Fox"}, 3], "document", "3", "an array of customers, each an object"),
        ({"customers": []}, "document", "a table", "an array of customers"),
        (None, "document", "null", "an array of customers"),
    ],
)
def test_a_fault_in_a_json_document_is_told_by_its_row(
    tmp_path: Path, document: object, key: str, found: str, expected: str
) -> None:
    error = refusal(write(tmp_path, json.dumps(document), "customers.json"))
    assert (error.key, error.found) == (key, found)
    assert expected in error.expected


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "\x00"])
def test_what_is_no_json_is_told_as_such(tmp_path: Path, text: str) -> None:
    assert refusal(write(tmp_path, text, "customers.json")).found.startswith("no JSON (")


def test_other_encodings_than_utf_8_are_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, TABLE, encoding="latin-1")).expected == "CSV with commas, in UTF-8"
    assert refusal(write(tmp_path, '["ä"]', "a.json", "latin-1")).expected == "an array of customers, in UTF-8"


def test_all_faults_are_told_at_once_but_not_thousands() -> None:
    rows = [(f"row {number}", {"id": "7", "name": "Fox", "mail": "x"}) for number in range(1, 1000)]
    with pytest.raises(SettingsError) as refused:
        parse_customers(rows, "somewhere")
    assert len(str(refused.value).splitlines()) == 20


def test_a_secret_in_a_url_is_not_shown_with_the_directory(tmp_path: Path) -> None:
    directory = write(tmp_path, TABLE)
    directory.list_customers()
    assert "s3cret" not in repr(directory)


# ---------------------------------------------------------------------------------------------------------- reading


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    directory = write(tmp_path, TABLE)
    first = directory.list_customers()
    assert directory.list_customers() is first
    (tmp_path / "customers.csv").write_text(TABLE.replace("Nobody yet", "Somebody"))
    assert [customer.name for customer in directory.list_customers()][2] == "Somebody"


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    directory = write(tmp_path, TABLE)
    directory.list_customers()
    status = directory.path.stat()
    (tmp_path / "new").write_text(TABLE.replace("Fox", "Cat"))
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").replace(directory.path)
    assert directory.list_customers()[0].name == "Cat & Sons"


def test_a_file_that_breaks_is_not_answered_with_what_it_said_before(tmp_path: Path) -> None:
    directory = write(tmp_path, TABLE)
    directory.list_customers()
    directory.path.write_text("id\n")
    for _ in range(2):
        assert refusal(directory).found == "no name"
    directory.path.write_text(TABLE)
    assert directory.list_customers() == CUSTOMERS


def test_a_file_that_cannot_be_read_is_a_broken_road(tmp_path: Path) -> None:
    directory = write(tmp_path, TABLE)
    directory.list_customers()
    directory.path.unlink()
    with pytest.raises(RoadError, match=r"cannot read .*customers.csv: No such file"):
        directory.list_customers()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RoadError, match="Is a directory"):
        DirectoryFile(tmp_path / "folder.csv").list_customers()
