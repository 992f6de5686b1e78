//! A signature as macOS reads it: before it runs a page of code, it looks whether the page has the hash that is stated.
//! The numbers are those of Apple's `cs_blobs.h`, and stand with the highest byte first.

use sha2::{Digest as _, Sha256};

const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
const SHA_256: u8 = 2;

/// Looks at the signature that a file has from `start` on.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(file: &[u8], start: usize) -> Result<(), String> {
    let damaged = || "is damaged".to_owned();
    let blob = file.get(start..).ok_or_else(damaged)?;
    if number(blob, 0) != Some(SUPER_BLOB) {
        return Err("is of no kind that is known".to_owned());
    }
    let offset = directory(blob).ok_or("has no hashes of code")?;
    let directory = blob.get(offset..).ok_or_else(damaged)?;
    let field = |at| number(directory, at).map(|number| number as usize).ok_or_else(damaged);
    let (hashes, pages, covered) = (field(16)?, field(28)?, field(32)?);
    let &[size, kind, _, page] = directory.get(36..40).ok_or_else(damaged)? else { unreachable!() };
    if (kind, size) != (SHA_256, 32) || u32::from(page) >= usize::BITS {
        return Err("has hashes that are not SHA-256".to_owned());
    }
    if covered != start {
        return Err(format!("is for {covered} bytes, and {start} stand before it"));
    }
    let chunks = file[..start].chunks(1 << page);
    if chunks.len() != pages {
        return Err(format!("has {pages} hashes for {} pages", chunks.len()));
    }
    let stated = directory.get(hashes..).ok_or_else(damaged)?.chunks_exact(32);
    if stated.len() < pages {
        return Err(damaged());
    }
    match chunks.zip(stated).position(|(page, hash)| Sha256::digest(page).as_slice() != hash) {
        None => Ok(()),
        Some(page) => Err(format!("is not that of page {page}, which was changed after")),
    }
}

/// Where the directory of hashes begins: of an index of kinds and places, kind 0.
fn directory(blob: &[u8]) -> Option<usize> {
    let count = number(blob, 8)? as usize;
    let mut index = blob.get(12..)?.chunks_exact(8).take(count);
    let entry = index.find(|entry| entry[..4] == [0; 4])?;
    let offset = number(entry, 4)? as usize;
    (number(blob, offset)? == CODE_DIRECTORY).then_some(offset)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code of two pages and a bit, and its signature.
    fn signed() -> (Vec<u8>, usize) {
        let mut file: Vec<u8> = (0..10_000_u32).map(|index| index.to_le_bytes()[0]).collect();
        let start = file.len();
        let directory_offset = 20;
        let mut directory = Vec::new();
        // Magic, length, version, flags (ad hoc), hashes, identity, special ones, pages, covered.
        for number in
            [CODE_DIRECTORY, 44 + 96, 0x2_0001, 2, 44, 0, 0, 3, u32::try_from(start).unwrap()]
        {
            directory.extend(number.to_be_bytes());
        }
        directory.extend([32, SHA_256, 0, 12, 0, 0, 0, 0]);
        for page in file.chunks(4096) {
            directory.extend(Sha256::digest(page));
        }
        for number in [SUPER_BLOB, 20 + 44 + 96, 1, 0, directory_offset] {
            file.extend(number.to_be_bytes());
        }
        file.extend(directory);
        (file, start)
    }

    #[test]
    fn a_changed_byte_of_any_page_is_found() {
        let (file, start) = signed();
        assert_eq!(check(&file, start), Ok(()));
        for (byte, page) in [(0, 0), (4095, 0), (4096, 1), (start - 1, 2)] {
            let mut file = file.clone();
            file[byte] ^= 1;
            let expected = format!("is not that of page {page}, which was changed after");
            assert_eq!(check(&file, start), Err(expected));
        }
    }

    #[test]
    fn a_damaged_one_is_an_error_and_never_a_panic() {
        let (file, start) = signed();
        for length in 0..file.len() {
            assert!(check(&file[..length], start).is_err(), "{length} bytes");
        }
        // Whatever stands before the hashes, a byte of it means something, or nothing.
        for byte in start..start + 64 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut file = file.clone();
                file[byte] = value;
                let _ = check(&file, start);
            }
        }
        let mut elsewhere = file.clone();
        elsewhere.insert(0, 0);
        assert_eq!(
            check(&elsewhere, start + 1),
            Err(format!("is for {start} bytes, and {} stand before it", start + 1))
        );
    }
}
