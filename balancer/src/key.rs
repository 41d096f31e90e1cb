//! The cluster key on disk: reading it, refusing a bad one, making a fresh one.
//!
//! The same rules for whoever makes or checks tokens (balancer, node, load generator), so that one file fits all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wire::token::{KEY_BYTES_MIN, TokenKey};

use crate::limits::KEY_FILE_BYTES_MAX;

/// The key that documentation and examples show. Everybody knows it: servers refuse it without `--development`.
pub const EXAMPLE_KEY: &[u8] = b"ringline example key, not secret";

/// Why a key file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("cannot read the key file {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too few bytes, or far too many.
    #[error(
        "{path} holds a key of {bytes} bytes: make it {KEY_BYTES_MIN} random bytes or more, raw or as hexadecimal digits"
    )]
    Length {
        /// Which file.
        path: PathBuf,
        /// Bytes of key material found.
        bytes: usize,
    },
    /// Known to everybody, or no secret at all.
    #[error(
        "{path} holds an example key: make a random one, or say --development to try things out"
    )]
    Example {
        /// Which file.
        path: PathBuf,
    },
}

/// Reads the key that tokens are made with from a key file.
///
/// # Errors
/// See [`read`].
pub fn load(path: &Path, allow_example: bool) -> Result<TokenKey, KeyError> {
    let key = read(path, allow_example)?;
    let length = KeyError::Length { path: path.to_owned(), bytes: key.len() };
    TokenKey::new(&key).ok_or(length)
}

/// Reads a key file: hexadecimal digits (spaces and line ends around them are ignored), else raw bytes.
///
/// # Errors
/// See [`KeyError`]. Example keys are taken only where `allow_example` says so.
pub fn read(path: &Path, allow_example: bool) -> Result<Vec<u8>, KeyError> {
    let io_error = |source| KeyError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io_error)?;
    let mode = file.metadata().map_err(io_error)?.mode();
    if mode & 0o007 != 0 {
        tracing::warn!(path = %path.display(), "the key file is open to other users: chmod 600");
    }
    let mut content = Vec::new();
    file.take(KEY_FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(io_error)?;
    let key = unhex(content.trim_ascii()).unwrap_or(content);
    let length = KeyError::Length { path: path.to_owned(), bytes: key.len() };
    if key.len() < KEY_BYTES_MIN || key.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err(length);
    }
    if is_example(&key) && !allow_example {
        return Err(KeyError::Example { path: path.to_owned() });
    }
    Ok(key)
}

/// Makes a fresh random key and writes it, as hexadecimal digits, to a new file that only its owner can read.
///
/// # Errors
/// The file exists, or cannot be written.
pub fn create(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_BYTES_MIN];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let mut text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push('\n');
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn is_example(key: &[u8]) -> bool {
    let is_one_byte = key.windows(2).all(|pair| pair[0] == pair[1]);
    key.trim_ascii() == EXAMPLE_KEY || (is_one_byte && key.len() >= KEY_BYTES_MIN)
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value =
        |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use wire::token::Token;
    use wire::{Epoch, UserId};

    use super::*;

    fn written(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token.key");
        std::fs::write(&path, content).unwrap();
        (dir, path)
    }

    fn mac(key: &TokenKey) -> [u8; 65] {
        let token = Token { user: UserId(1), epoch: Epoch(1), incarnation: 1, expires_ms: 1 };
        key.mint(&token, "n1")
    }

    #[test]
    fn a_fresh_key_is_read_back_and_two_differ() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        create(&one).unwrap();
        create(&two).unwrap();
        assert!(create(&one).is_err(), "a key is never overwritten");
        assert_eq!(std::fs::metadata(&one).unwrap().mode() & 0o777, 0o600);
        assert_ne!(mac(&load(&one, false).unwrap()), mac(&load(&two, false).unwrap()));
    }

    #[test]
    fn hexadecimal_and_raw_forms_of_a_key_are_the_same_key() {
        let raw: Vec<u8> = (100..140).collect();
        let hex: String = raw.iter().map(|byte| format!("{byte:02X}")).collect();
        let (_one, raw_path) = written(&raw);
        let (_two, hex_path) = written(format!(" {hex}\n").as_bytes());
        assert_eq!(mac(&load(&raw_path, false).unwrap()), mac(&load(&hex_path, false).unwrap()));
    }

    #[test]
    fn bad_keys_are_refused_with_the_reason() {
        let (_short, path) = written(b"0123456789abcdef0123456789abcdef");
        assert!(matches!(load(&path, true), Err(KeyError::Length { bytes: 16, .. })));
        let (_long, path) = written(&[7; 5000]);
        assert!(matches!(load(&path, true), Err(KeyError::Length { bytes: 4097, .. })));
        assert!(matches!(load(Path::new("/nowhere/key"), true), Err(KeyError::Io { .. })));
    }

    #[test]
    fn example_keys_are_for_development_only() {
        for key in [EXAMPLE_KEY, b"ringline example key, not secret\n", &[0; 32]] {
            let (_dir, path) = written(key);
            assert!(matches!(load(&path, false), Err(KeyError::Example { .. })));
            assert!(load(&path, true).is_ok());
        }
    }
}
