//! With feature `capi`: generates the C header from the boundary's source, into `OUT_DIR`. Nothing in
//! the source tree is written; a test keeps `include/genfence.h` the same.

#[cfg(feature = "capi")]
#[path = "src/cache/counters.rs"]
mod counters;
#[cfg(feature = "capi")]
#[path = "src/ffi/operations.rs"]
mod operations;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "capi")]
    header();
}

/// What macros make of the tables, which cbindgen does not see, as it sees it.
#[cfg(feature = "capi")]
fn rows() -> String {
    let mut source = String::new();
    macro_rules! write_operations {
        ($($(#[doc = $doc:literal])* $number_name:ident $name:ident = $number:literal {
            $($field:ident $(($flag:ident))?),*
        })*) => {$(
            let fields: &[&str] = &[$(concat!(stringify!($field) $(, "(", stringify!($flag), ")")?)),*];
            let told: &[&str] = &[$($doc),*];
            source += &operation(stringify!($number_name), $number, fields, told);
        )*};
    }
    operations::operations!(write_operations);
    macro_rules! write_counters {
        ($($(#[doc = $doc:literal])* $name:ident: $counter:ident $metric:literal;)*) => {
            source += "/// What a cache has done since it was opened: counts.\n\
                #[repr(C)]\npub struct gf_stats {\n\
                /// sizeof(gf_stats), as the program was compiled: set it before the call.\n\
                pub struct_size: u64,\n";
            $(
                $(source += concat!("///", $doc, "\n");)*
                source += concat!("pub ", stringify!($name), ": u64,\n");
            )*
            source += "}\n";
        };
    }
    counters::counters!(write_counters);
    source
}

/// The number of an operation, and the fields of gf_op that it reads.
#[cfg(feature = "capi")]
fn operation(name: &str, number: u32, fields: &[&str], told: &[&str]) -> String {
    let mut read = Vec::new();
    let mut used_up = "";
    for field in fields {
        let (field, flag) = field.trim_end_matches(')').split_once('(').unwrap_or((field, ""));
        read.extend(match field {
            "entry" => {
                vec!["value".to_owned(), "flags".into(), "version".into(), "ttl_ms".into()]
            }
            "version" => vec!["flags".into(), "version".into()],
            "flags" => vec![format!("flags ({flag})")],
            "held" => vec!["reservation".into()],
            "adding" => vec!["reservation (of several keys)".into()],
            "tag" => vec!["key (a tag)".into()],
            "within" => vec!["ttl_ms (how long, at most 1 h)".into()],
            "lease" => {
                used_up = " Uses the lease up.";
                vec![field.into()]
            }
            "reservation" | "sole" | "several" => {
                used_up = " Uses the reservation up.";
                vec![
                    if field == "several" {
                        "reservation (of several keys)"
                    } else {
                        "reservation"
                    }
                    .into(),
                ]
            }
            other => vec![other.into()],
        });
    }
    let read = if read.is_empty() { "nothing".to_owned() } else { read.join(", ") };
    let told = told.iter().fold(String::new(), |told, line| told + "///" + line + "\n");
    format!("/// Reads {read}.{used_up}\n{told}pub const {name}: u32 = {number};\n")
}

#[cfg(feature = "capi")]
fn header() {
    use std::path::PathBuf;

    println!("cargo::rerun-if-changed=src/ffi");
    println!("cargo::rerun-if-changed=src/cache/counters.rs");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let rows_of_tables = out.join("rows.rs");
    std::fs::write(&rows_of_tables, rows()).expect("OUT_DIR can be written");
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let version = std::env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let mut config =
        cbindgen::Config::from_file("cbindgen.toml").expect("cbindgen.toml is well-formed");
    let mut parts = version.split(['.', '-']);
    let mut part = || parts.next().unwrap_or("0").to_owned();
    config.after_includes = Some(format!(
        "\n/* The version of this header. */\n#define GF_VERSION \"{version}\"\n\
         #define GF_VERSION_MAJOR {}\n#define GF_VERSION_MINOR {}\n#define GF_VERSION_PATCH {}\n\n\
         /* Options as they are by default: gf_options options = GF_OPTIONS_INIT; */\n\
         #define GF_OPTIONS_INIT \\\n  \
         {{sizeof(gf_options), GF_ABI_MAJOR, GF_ABI_MINOR, 0, {{NULL, 0}}, NULL, NULL, {{0, 0, 0, 0}}}}",
        part(),
        part(),
        part()
    ));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in [
        "numbers",
        "abi",
        "error",
        "handles",
        "results",
        "live",
        "cache",
        "calls",
        "queue/calls",
        "submit",
        "peek",
        "copy",
        "tagged",
        "near",
        "several",
        "stats",
        "log",
    ] {
        let file = PathBuf::from(&root).join("src/ffi").join(file).with_extension("rs");
        builder = builder.with_src(file);
    }
    builder = builder.with_src(rows_of_tables);
    let mut header = Vec::new();
    builder.generate().expect("the boundary's source parses").write(&mut header);
    // What rustdoc wants as a section is a paragraph in C.
    let header =
        String::from_utf8(header).expect("it is text").replace(" # Safety\n", " SAFETY:\n");
    std::fs::write(out.join("genfence.h"), header).expect("OUT_DIR can be written");
}
