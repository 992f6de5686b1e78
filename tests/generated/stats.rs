//! What is counted, in C#.

use crate::csharp::{pascal, summary, top};
use crate::rows::counters;

const TABLE: &str = "src/cache/counters.rs";

pub fn in_csharp() -> String {
    let mut source = top(TABLE)
        + "using Genfence.Native;\n\nnamespace Genfence;\n\n\
           /// <summary>What a cache has done since it was opened: counts.</summary>\n\
           public readonly record struct GenfenceStats\n{\n";
    for counter in counters() {
        source += &summary("    ", &counter.told);
        source += &format!("    public long {} {{ get; init; }}\n\n", pascal(counter.name));
    }
    source += "    internal static GenfenceStats Of(in NativeStats stats) => new()\n    {\n";
    for counter in counters() {
        let name = pascal(counter.name);
        source += &format!("        {name} = (long)stats.{name},\n");
    }
    source + "    };\n}\n"
}

pub fn metrics_in_csharp() -> String {
    let mut source = top(TABLE)
        + "namespace Genfence;\n\ninternal static partial class Telemetry\n{\n    \
           private static void CountAll()\n    {\n";
    for counter in counters() {
        let (metric, told, name) = (counter.metric, counter.told, pascal(counter.name));
        source += &format!("        Count(\"{metric}\", \"{told}\", stats => stats.{name});\n");
    }
    source + "    }\n}\n"
}

pub fn public_api() -> Vec<String> {
    let of_each = counters().into_iter().flat_map(|counter| {
        let name = pascal(counter.name);
        [
            format!("Genfence.GenfenceStats.{name}.get -> long"),
            format!("Genfence.GenfenceStats.{name}.init -> void"),
        ]
    });
    let of_the_struct = [
        "Genfence.GenfenceStats",
        "Genfence.GenfenceStats.GenfenceStats() -> void",
        "Genfence.GenfenceStats.Equals(Genfence.GenfenceStats other) -> bool",
        "override Genfence.GenfenceStats.GetHashCode() -> int",
        "~override Genfence.GenfenceStats.Equals(object obj) -> bool",
        "~override Genfence.GenfenceStats.ToString() -> string",
        "static Genfence.GenfenceStats.operator !=(Genfence.GenfenceStats left, Genfence.GenfenceStats right) -> bool",
        "static Genfence.GenfenceStats.operator ==(Genfence.GenfenceStats left, Genfence.GenfenceStats right) -> bool",
    ];
    of_each.chain(of_the_struct.map(str::to_owned)).collect()
}
