//! The settings, in C# and in the documentation.

use crate::csharp::{pascal, summary, top};
use crate::rows::{Setting, choices, settings};

const TABLE: &str = "src/settings/table.rs";

const PAIRS: &str = "IDictionary<string, string>";

/// The type of a property: what may not be given is null.
fn csharp_type(setting: &Setting) -> String {
    match (setting.kind, setting.of) {
        ("Span", _) | ("Optional", Some("Span")) => "TimeSpan?".into(),
        ("Share", _) | ("Optional", Some("Share")) => "double?".into(),
        ("Bytes", _) => "long?".into(),
        ("Count", _) => "int?".into(),
        ("Switch", _) | ("Optional", Some("Switch")) => "bool?".into(),
        ("Prefix" | "Peers", _) | ("Optional", Some("File" | "Text")) => "string?".into(),
        ("Choice", Some(of)) => format!("{of}?"),
        ("Pairs", _) => PAIRS.into(),
        (other, _) => panic!("{other}: say what it is in C#"),
    }
}

/// What the public API's list calls that type.
fn listed_type(setting: &Setting) -> String {
    match setting.kind {
        _ if csharp_type(setting) == "TimeSpan?" => "System.TimeSpan?".into(),
        "Pairs" => "System.Collections.Generic.IDictionary<string!, string!>!".into(),
        "Choice" => format!("Genfence.{}", csharp_type(setting)),
        _ => csharp_type(setting),
    }
}

/// All that a reader is told, in one paragraph.
fn told(setting: &Setting) -> String {
    let store = match setting.store {
        "any" => "",
        "memory" => " For `memory://` alone.",
        _ => " For `aerospike://` alone.",
    };
    let bounds = bounds(setting).map_or_else(String::new, |bounds| format!(" Bounds: {bounds}."));
    format!("{}{store}{bounds} Default: {}.", setting.told, default(setting))
}

fn default(setting: &Setting) -> &str {
    if setting.default == "``" { "none" } else { setting.default }
}

fn bounds(setting: &Setting) -> Option<String> {
    if setting.kind == "Choice" {
        let choices = choices();
        let choice = choices.iter().find(|choice| Some(choice.name) == setting.of)?;
        let words: Vec<String> =
            choice.words.iter().map(|word| format!("`{}`", word.text)).collect();
        return Some(words.join(", "));
    }
    let (least, most) = setting.bounds?;
    Some(most.map_or_else(|| format!("at least {least}"), |most| format!("{least} to {most}")))
}

pub fn in_csharp() -> String {
    let mut source = top(TABLE) + "using Genfence.Native;\n\nnamespace Genfence;\n";
    for choice in choices() {
        source += "\n";
        source += &summary("", &choice.told);
        source += &format!("public enum {}\n{{\n", choice.name);
        for word in &choice.words {
            source += &summary("    ", &word.told);
            source += &format!("    {},\n", word.name);
        }
        source += "}\n";
    }
    source += "\npublic abstract partial class GenfenceSettings\n{\n";
    for setting in settings() {
        let name = pascal(setting.name);
        source += &summary("    ", &told(&setting));
        let kind = csharp_type(&setting);
        let access = match setting.kind {
            "Pairs" => "{ get; } = new Dictionary<string, string>();",
            _ => "{ get; set; }",
        };
        source += &format!("    public {kind} {name} {access}\n\n");
    }
    source += "    private void Write(Query query)\n    {\n";
    for setting in settings() {
        let (store, name) = (pascal(setting.store), setting.name);
        source += &format!("        query.Add(Store.{store}, \"{name}\", {});\n", pascal(name));
    }
    source += "    }\n\n    private void Copy(GenfenceSettings from)\n    {\n";
    for setting in settings() {
        let name = pascal(setting.name);
        source += &if setting.kind == "Pairs" {
            format!(
                "        foreach (var pair in from.{name})\n        {{\n            \
                 {name}[pair.Key] = pair.Value;\n        }}\n"
            )
        } else {
            format!("        {name} = from.{name};\n")
        };
    }
    source + "    }\n}\n"
}

pub fn public_api() -> Vec<String> {
    let mut lines = vec!["Genfence.GenfenceSettings".to_owned()];
    for setting in settings() {
        let (name, kind) = (pascal(setting.name), listed_type(&setting));
        lines.push(format!("Genfence.GenfenceSettings.{name}.get -> {kind}"));
        if setting.kind != "Pairs" {
            lines.push(format!("Genfence.GenfenceSettings.{name}.set -> void"));
        }
    }
    for choice in choices() {
        lines.push(format!("Genfence.{}", choice.name));
        for (index, word) in choice.words.iter().enumerate() {
            let (choice, word) = (choice.name, word.name);
            lines.push(format!("Genfence.{choice}.{word} = {index} -> Genfence.{choice}"));
        }
    }
    lines
}

pub fn in_markdown() -> String {
    let mut text = String::new();
    for (store, title) in [
        ("any", "Of every cache"),
        ("memory", "Of `memory://` alone"),
        ("aerospike", "Of `aerospike://` alone"),
    ] {
        text += &format!(
            "## {title}\n\n| option | default | bounds | what it is |\n|---|---|---|---|\n"
        );
        for setting in settings().iter().filter(|setting| setting.store == store) {
            let bounds = bounds(setting).unwrap_or_default();
            let (name, told) = (setting.name, &setting.told);
            text += &format!("| `{name}` | {} | {bounds} | {told} |\n", default(setting));
        }
        text += "\n";
    }
    text
}
