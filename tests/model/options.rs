//! The command line: what a test binary is given by cargo, and what a person may ask for.

use crate::run::Extent;

const HELP: &str = "\
arguments of the model checker:
  --long        one more fault in every world, and far more states (hours)
  --only NAME   only the cases whose name contains NAME
  NAME          the same, and no error if there is none
  --list        print the names of the cases
of cargo's own flags these are accepted and change nothing:
  --nocapture  --no-capture  --show-output  --quiet  -q  --test-threads N  --color WHEN";

pub struct Options {
    pub extent: Extent,
    /// Parts of names. None at all means every case.
    pub only: Vec<String>,
    /// Whether to fail when no case has such a name.
    pub strict: bool,
    pub list: bool,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let extent = if cfg!(debug_assertions) { Extent::Quick } else { Extent::Full };
        let mut options = Options { extent, only: vec![], strict: false, list: false };
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{HELP}"));
            match argument.as_str() {
                "--long" => options.extent = Extent::Long,
                "--list" => options.list = true,
                "--only" => {
                    options.only.push(value()?);
                    options.strict = true;
                }
                "--test-threads" | "--color" => drop(value()?),
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" => {}
                flag if flag.starts_with("--test-threads=") || flag.starts_with("--color=") => {}
                flag if flag.starts_with('-') => {
                    return Err(format!("unknown argument {flag}\n{HELP}"));
                }
                name => options.only.push(name.into()),
            }
        }
        Ok(options)
    }

    /// Whether this is the run that its states are claimed of.
    pub fn is_whole(&self) -> bool {
        self.extent != Extent::Quick && self.only.is_empty()
    }

    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}
