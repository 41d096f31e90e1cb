//! A configuration file as words of a command line.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::{Arg, Command};
use toml::{Table, Value};

use super::{is_in_environment, is_switch, options};
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// What the file says, as options. Those that the environment has are left out: it counts more.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn words(path: &Path, command: &Command) -> Result<Vec<OsString>, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(CONFIG_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > CONFIG_FILE_BYTES_MAX {
        return Err(format!("is longer than {CONFIG_FILE_BYTES_MAX} bytes: is it the right file?"));
    }
    of_text(&text, command)
}

fn of_text(text: &str, command: &Command) -> Result<Vec<OsString>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut words = Vec::new();
    for (key, value) in &table {
        let arg = options(command)
            .find(|arg| arg.get_long() == Some(key))
            .ok_or_else(|| unknown(key, command))?;
        if let Some(word) = word(key, value, arg)?
            && !is_in_environment(arg)
        {
            words.push(word.into());
        }
    }
    Ok(words)
}

/// One option; `None` for a switch that is off.
fn word(key: &str, value: &Value, arg: &Arg) -> Result<Option<String>, String> {
    match (value, is_switch(arg)) {
        (Value::Boolean(is_on), true) => Ok(is_on.then(|| format!("--{key}"))),
        (_, true) => Err(format!("{key} is a switch: write {key} = true or {key} = false")),
        (Value::Array(values), false) => {
            let parts: Option<Vec<_>> = values.iter().map(scalar).collect();
            let parts = parts.ok_or_else(|| no_value(key))?;
            Ok(Some(format!("--{key}={}", parts.join(","))))
        }
        (value, false) => {
            let value = scalar(value).ok_or_else(|| no_value(key))?;
            Ok(Some(format!("--{key}={value}")))
        }
    }
}

fn no_value(key: &str) -> String {
    format!("{key} takes a text, a number or a list of them")
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// Nobody reads a list of thirty options to find the letter that is wrong.
fn unknown(key: &str, command: &Command) -> String {
    let names = options(command).filter_map(Arg::get_long);
    let nearest = names.min_by_key(|name| strsim::damerau_levenshtein(name, key));
    let nearest = nearest.map_or_else(String::new, |name| format!(": is {name} meant?"));
    format!("there is no option {key:?}{nearest}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Args;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let words = of_text(text, &Args::command())?;
        Ok(words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn keys_are_options_and_values_are_theirs() {
        let text =
            "lease-ms = 6000\nlisten = \"127.0.0.1:1\"\ninsecure = true\ndevelopment = false";
        let mut words = read(text).unwrap();
        words.sort();
        assert_eq!(words, ["--insecure", "--lease-ms=6000", "--listen=127.0.0.1:1"]);
        assert_eq!(read("listen = [\"a\", 2]").unwrap(), ["--listen=a,2"]);
    }

    #[test]
    fn what_is_no_option_names_the_nearest_one() {
        assert_eq!(
            read("lease-msec = 6").unwrap_err(),
            "there is no option \"lease-msec\": is lease-ms meant?"
        );
        assert!(read("token_key_file = \"k\"").unwrap_err().contains("is token-key-file meant?"));
        // What chooses the file is not in the file.
        assert!(read("config = \"other\"").unwrap_err().contains("no option"));
    }

    #[test]
    fn what_has_no_value_says_what_has() {
        assert!(read("insecure = 1").unwrap_err().contains("insecure = true"));
        assert!(read("lease-ms = true").unwrap_err().contains("a number"));
        assert!(read("[listen]\nport = 1").unwrap_err().contains("listen takes"));
        assert!(read("lease-ms = ").unwrap_err().contains("line 1"));
    }
}
