//! What stands in a shared library, whichever system it is for.

use std::collections::BTreeSet;

use object::read::elf::{ElfFile64, FileHeader as _};
use object::read::macho::{LoadCommandVariant, MachOFile64};
use object::{
    Architecture, BinaryFormat, Endianness, File, NameOrOrdinal, Object as _, elf, macho,
};

use crate::signature;

type Read<T> = Result<T, Box<dyn std::error::Error>>;

/// What can be read off a shared library.
#[derive(Debug)]
pub struct Library {
    /// ELF, PE or Mach-O.
    pub format: BinaryFormat,
    /// The machine that it is for.
    pub machine: Architecture,
    /// The names that it gives.
    pub exports: BTreeSet<String>,
    /// The libraries that the system's loader has to find.
    pub needed: BTreeSet<String>,
    /// What it calls itself: ELF's soname, or Mach-O's install name.
    pub name: Option<String>,
    /// The versions of symbols that it needs, by the library that has them: ELF alone.
    pub versions: BTreeSet<String>,
    /// The oldest macOS: Mach-O alone.
    pub minimum: Option<String>,
    /// What is wrong with its signature, which macOS demands of code for arm64; `None` if it has none.
    pub signature: Option<Result<(), String>>,
}

impl Library {
    /// Reads it.
    ///
    /// # Errors
    /// If it is of no format that is known, or damaged.
    pub fn parse(bytes: &[u8]) -> Read<Library> {
        let file = File::parse(bytes)?;
        let mut library = Library {
            format: file.format(),
            machine: file.architecture(),
            exports: BTreeSet::new(),
            needed: BTreeSet::new(),
            name: None,
            versions: BTreeSet::new(),
            minimum: None,
            signature: None,
        };
        for export in file.exports()? {
            let name = match export?.name() {
                NameOrOrdinal::Name(name) => text(name),
                NameOrOrdinal::Ordinal(number) => format!("without a name: {number}"),
            };
            // macOS puts a line before every name.
            let mach = library.format == BinaryFormat::MachO;
            library.exports.insert(if mach { name.trim_start_matches('_').into() } else { name });
        }
        match &file {
            File::Elf64(file) => library.read_elf(file)?,
            File::MachO64(file) => library.read_macho(file)?,
            file => {
                for import in file.imports()? {
                    library.needed.insert(text(import?.library()).to_lowercase());
                }
            }
        }
        Ok(library)
    }

    fn read_elf(&mut self, file: &ElfFile64<Endianness>) -> Read<()> {
        let (endian, data) = (file.endian(), file.data());
        let table = file.elf_dynamic_table()?;
        for entry in &table {
            match entry.tag {
                elf::DT_NEEDED => {
                    self.needed.insert(text(table.string(entry)?));
                }
                elf::DT_SONAME => self.name = Some(text(table.string(entry)?)),
                _ => {}
            }
        }
        let sections = file.elf_header().sections(endian, data)?;
        let Some((mut needs, linked)) = sections.gnu_verneed(endian, data)? else { return Ok(()) };
        let strings = sections.strings(endian, data, linked)?;
        while let Some((_, mut versions)) = needs.next()? {
            while let Some(version) = versions.next()? {
                self.versions.insert(text(version.name(endian, strings)?));
            }
        }
        Ok(())
    }

    fn read_macho(&mut self, file: &MachOFile64<Endianness>) -> Read<()> {
        let endian = file.endian();
        let mut commands = file.macho_load_commands()?;
        while let Some(command) = commands.next()? {
            match command.variant()? {
                LoadCommandVariant::Dylib(dylib) => {
                    self.needed.insert(text(command.string(endian, dylib.dylib.name)?));
                }
                LoadCommandVariant::IdDylib(dylib) => {
                    self.name = Some(text(command.string(endian, dylib.dylib.name)?));
                }
                LoadCommandVariant::BuildVersion(build, _) => {
                    self.minimum = Some(build.minos.get(endian).to_string());
                }
                LoadCommandVariant::LinkeditData(data)
                    if command.cmd() == macho::LC_CODE_SIGNATURE =>
                {
                    let start = data.dataoff.get(endian) as usize;
                    self.signature = Some(signature::check(file.data(), start));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The names that an archive has an index of: of an import library, what programs can be linked with.
///
/// # Errors
/// If it is no archive, or damaged.
pub fn symbols(archive: &[u8]) -> Read<BTreeSet<String>> {
    let archive = object::read::archive::ArchiveFile::parse(archive)?;
    let mut names = BTreeSet::new();
    for symbol in archive.symbols()?.ok_or("an archive without an index")? {
        names.insert(text(symbol?.name()));
    }
    Ok(names)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
