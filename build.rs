//! With feature `capi`: generates the C header from the boundary's source, into `OUT_DIR`. Nothing in
//! the source tree is written; a test keeps `include/genfence.h` the same.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "capi")]
    header();
}

#[cfg(feature = "capi")]
fn header() {
    use std::path::PathBuf;

    println!("cargo::rerun-if-changed=src/ffi");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("genfence.h");
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
         {{sizeof(gf_options), GF_ABI_MAJOR, GF_ABI_MINOR, 0, {{NULL, 0}}, 0, {{0, 0, 0, 0, 0}}}}",
        part(),
        part(),
        part()
    ));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in
        ["abi", "error", "handles", "live", "cache", "calls", "queue", "submit", "stats", "log"]
    {
        let file = PathBuf::from(&root).join("src/ffi").join(file).with_extension("rs");
        builder = builder.with_src(file);
    }
    let mut header = Vec::new();
    builder.generate().expect("the boundary's source parses").write(&mut header);
    // What rustdoc wants as a section is a paragraph in C.
    let header =
        String::from_utf8(header).expect("it is text").replace(" # Safety\n", " SAFETY:\n");
    std::fs::write(out, header).expect("OUT_DIR can be written");
}
