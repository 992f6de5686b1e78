//! What `deny.toml` asks of everything that is built here, dependencies of tests and of other platforms
//! included, checked without the tool that it is written for: licences, and where it all comes from.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use spdx::Expression;

fn policy() -> toml::Table {
    include_str!("../../deny.toml").parse().expect("deny.toml is TOML")
}

fn names(table: &toml::Table, list: &str) -> BTreeSet<String> {
    let names = table[list].as_array().expect("it is a list").iter();
    names.map(|name| name.as_str().expect("it is a name").to_owned()).collect()
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    command.manifest_path(manifest).features(cargo_metadata::CargoOpt::AllFeatures);
    command.other_options(["--locked".to_owned()]);
    command.exec().expect("cargo knows its packages")
}

fn packages() -> Vec<Package> {
    metadata().packages
}

/// What the library is built of, on whatever system: without what only its tests need.
fn built_of(metadata: &Metadata) -> BTreeSet<&PackageId> {
    let nodes = &metadata.resolve.as_ref().expect("it was asked for").nodes;
    let is_ours = |package: &&Package| *package.name == "genfence";
    let own = metadata.packages.iter().find(is_ours).expect("it is there");
    let (mut found, mut open) = (BTreeSet::from([&own.id]), vec![&own.id]);
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|node| node.id == *id).expect("each has a node");
        for needed in &node.deps {
            let built =
                needed.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if built && found.insert(&needed.pkg) {
                open.push(&needed.pkg);
            }
        }
    }
    found
}

#[test]
fn no_dependency_of_the_library_needs_a_newer_rust_than_it_says() {
    let metadata = metadata();
    let built_of = built_of(&metadata);
    assert!(built_of.len() > 80, "all of them are looked at, and not {}", built_of.len());
    let packages = || metadata.packages.iter().filter(|package| built_of.contains(&package.id));
    let own = packages().find(|package| *package.name == "genfence").unwrap();
    let own = own.rust_version.as_ref().expect("it says what it needs");
    for package in packages() {
        let (name, needed) = (&package.name, &package.rust_version);
        assert!(needed.as_ref().is_none_or(|needed| needed <= own), "{name} needs {needed:?}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let policy = policy();
    let licences = policy["licenses"].as_table().unwrap();
    let allowed = names(licences, "allow");
    let allows = |allowed: &BTreeSet<String>, package: &Package| {
        // Some old manifests have a slash for OR.
        let licence = package.license.as_deref().unwrap_or_default().replace('/', " OR ");
        let expression = Expression::parse(&licence);
        let expression = expression.map_err(|error| format!("{licence:?}: {error}"))?;
        expression
            .evaluate_with_failures(|asked| allowed.contains(&asked.to_string()))
            .map_err(|_| licence)
    };
    let exceptions = licences["exceptions"].as_array().unwrap();
    let packages = packages();
    assert!(packages.len() > 200, "all of them are looked at, and not {}", packages.len());
    for package in &packages {
        let exception = exceptions.iter().filter_map(toml::Value::as_table);
        let mut exception =
            exception.filter(|exception| exception["crate"].as_str() == Some(&*package.name));
        let mut allowed = allowed.clone();
        allowed.extend(exception.next().into_iter().flat_map(|own| names(own, "allow")));
        if let Err(licence) = allows(&allowed, package) {
            panic!("{} has a licence that deny.toml does not allow: {licence}", package.name);
        }
    }
}

#[test]
fn every_dependency_comes_from_the_registry_or_from_here() {
    for package in packages() {
        let from = package.source.as_ref().map(|source| source.repr.as_str());
        let known = from.is_none_or(|from| from.contains("crates.io-index"));
        assert!(known, "{} comes from {from:?}", package.name);
        for dependency in package.dependencies.iter().filter(|_| package.source.is_none()) {
            let any = dependency.req.to_string() == "*" && dependency.path.is_none();
            assert!(!any, "{} takes any version of {}", package.name, dependency.name);
        }
    }
}

/// A program on rustls with a provider of its own would have two, and end where it used to choose its one.
#[test]
fn the_default_features_bring_nothing_that_changes_another_program() {
    let tree = |features: &[&str]| {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo.args(["tree", "--locked", "-p", "genfence", "-e", "normal", "--prefix", "none"]);
        let output = cargo.args(features).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let has =
        |tree: &str, name: &str| tree.lines().any(|line| line.starts_with(&format!("{name} ")));
    let (default, tls) = (tree(&[]), tree(&["--features", "tls"]));
    assert!(has(&default, "aerospike") && has(&tls, "rustls"), "{tls}");
    for name in ["rustls", "ring", "aws-lc-rs", "openssl"] {
        assert!(!has(&default, name), "{default}");
    }
}
