//! The command line.

use crate::run::Extent;

const HELP: &str = "\
arguments of the model checker:
  --far         each world to its end, or to millions of states (minutes)
  --farther     one more fault in every world, and far more states (hours)
  NAME          only the cases whose name contains NAME
  --list        print the names of the cases";

pub struct Options {
    pub extent: Extent,
    /// Parts of names. None at all means every case.
    pub only: Vec<String>,
    pub list: bool,
}

impl Options {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { extent: Extent::Near, only: vec![], list: false };
        for argument in arguments {
            match argument.as_str() {
                "--far" => options.extent = Extent::Far,
                "--farther" => options.extent = Extent::Farther,
                "--list" => options.list = true,
                flag if flag.starts_with('-') => {
                    return Err(format!("unknown argument {flag}\n{HELP}"));
                }
                name => options.only.push(name.into()),
            }
        }
        Ok(options)
    }

    /// Whether every case is run.
    pub fn is_whole(&self) -> bool {
        self.only.is_empty()
    }

    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}
