//! The file of `genfence follow`: what is wrong in it is named, and not repeated.

use std::fs;

use super::follow::{ended, tool};

const OUTBOX: [(&str, &str); 4] = [
    ("cache", "\"memory://\""),
    ("source", "\"postgres://a:secret@127.0.0.1:1/db\""),
    ("kind", "\"outbox\""),
    ("follower", "\"eu\""),
];
const REPLICATION: [(&str, &str); 6] = [
    ("cache", "\"memory://\""),
    ("source", "\"postgres://a:secret@127.0.0.1:1/db\""),
    ("kind", "\"replication\""),
    ("slot", "\"s\""),
    ("publication", "\"p\""),
    ("tables", "[{ table = \"users\", key = \"{id}\" }]"),
];

/// The error of a file that is right but for this field.
async fn error(of: &[(&str, &str)], field: &str, value: &str) -> String {
    let mut lines: Vec<String> = of
        .iter()
        .filter(|(name, _)| *name != field)
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    if !value.is_empty() {
        lines.push(format!("{field} = {value}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("follow.toml");
    fs::write(&file, lines.join("\n")).unwrap();
    let output = ended(tool(&[file.to_str().unwrap()])).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn each_field_that_is_wrong_is_named_with_what_it_must_be() {
    let long = format!("\"{}\"", "x".repeat(64));
    for (field, value, said) in [
        ("cache", "", "cache: must be there"),
        ("cache", "[\"secret\"]", "cache: must be a text"),
        ("cache", "\"redis://secret\"", "cache: url: it must begin with"),
        ("cache_user", "\"a\"", "cache_user, cache_password_env: one needs the other"),
        ("cache_password_env", "\"NOT_SET_ANYWHERE\"", "cache_password_env: this variable"),
        ("source", "", "source: must be there"),
        ("source", "\"mysql://a:secret@h/db\"", "source: this is no URL of PostgreSQL"),
        ("source_password_env", "\"NOT_SET_ANYWHERE\"", "source_password_env: this variable"),
        ("kind", "", "kind: must be there"),
        ("kind", "\"secret\"", "kind: must be \"outbox\" or \"replication\""),
        ("follower", "", "follower: must be there"),
        ("follower", "\"\"", "follower: must be a text"),
        ("table", "\"a.b.c\"", "table: \"a.b.c\" must be a table"),
        ("followers", &long, "followers: a name must have 1 to 63 bytes"),
        ("pause", "\"soon\"", "pause: must be a time such as \"20ms\", 1ms to 1m"),
        ("pause", "\"2m\"", "pause: 120s is out of bounds, must be 1ms to 1m"),
        ("batch", "-1", "batch: must be a whole number, 1 to 100000"),
        ("batch", "0", "batch: 0 is out of bounds, must be 1 to 100000"),
        ("slot", "\"s\"", "slot: is no setting here"),
        // All is right, but nobody is there.
        ("batch", "1", "source: no connection to postgres://127.0.0.1:1/db"),
    ] {
        let error = error(&OUTBOX, field, value).await;
        assert!(error.contains(said), "{field} = {value}: {error}");
    }
}

#[tokio::test]
async fn so_is_each_of_a_table() {
    for (field, value, said) in [
        ("slot", "", "slot: must be there"),
        ("publication", "7", "publication: must be a text"),
        ("tables", "", "tables: must be there, as [[tables]]"),
        ("tables", "[]", "tables: there must be one"),
        ("tables", "[7]", "tables[0].: must be a table"),
        ("tables", "[{ key = \"{id}\" }]", "tables[0].table: must be there"),
        ("tables", "[{ table = \"t\" }]", "tables[0].key: must be there"),
        ("tables", "[{ table = \"t\", key = \"k\" }]", "key: \"k\": no column stands in it"),
        ("tables", "[{ table = \"t\", key = \"{k}\", version = 7 }]", "tables[0].version: must"),
        (
            "tables",
            "[{ table = \"t\", key = \"{k}\", without_version = 7 }]",
            "tables[0].without_version: must be true or false",
        ),
        ("tables", "[{ table = \"t\", key = \"{k}\", x = 7 }]", "tables[0].x: is no setting here"),
        ("follower", "\"eu\"", "follower: is no setting here"),
    ] {
        let error = error(&REPLICATION, field, value).await;
        assert!(error.contains(said), "{field} = {value}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_is_none_is_named_with_the_line_and_not_repeated() {
    let error = error(&[], "cache", "\"memory://\"\nsource = secret").await;
    assert!(error.contains("line 2 is no TOML"), "{error}");
    let output = ended(tool(&["/nowhere/follow.toml"])).await;
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("/nowhere/follow.toml cannot be read"), "{error}");
}
