//! The effective configuration as a file that says what each key is for.

use std::fmt::Write as _;

use clap::{Arg, ArgMatches, Command};

use super::{Values, is_switch, options};

/// Columns of a comment.
const COLUMNS: usize = 110;

/// A file that, read again, gives the same options and the same page.
pub(super) fn page(command: &Command, matches: &ArgMatches) -> String {
    let mut page = String::new();
    let about = format!(
        "Configuration of Ringline's {}, for --config. A key is the long name of an option; the command line and the \
         environment count more than this file, and what has no value here has its default.",
        command.get_name()
    );
    comment(&mut page, &about);
    for arg in options(command) {
        let Some(name) = arg.get_long() else { continue };
        page.push('\n');
        let help = arg.get_long_help().or_else(|| arg.get_help());
        comment(&mut page, &help.map(ToString::to_string).unwrap_or_default());
        comment(&mut page, &source(arg));
        page.push_str(&line(name, arg, matches));
        page.push('\n');
    }
    page
}

/// Every option with its value as it stands on the page, for comparing.
pub(super) fn values(command: &Command, matches: &ArgMatches) -> Values {
    let value = |arg: &Arg| {
        let name = arg.get_long()?;
        let line = line(name, arg, matches);
        let value = line.split_once(" = ").filter(|_| !line.starts_with('#'));
        Some((
            name.to_owned(),
            value.map_or_else(|| "unset".to_owned(), |(_, value)| value.to_owned()),
        ))
    };
    options(command).filter_map(value).collect()
}

/// The other ways to say it.
fn source(arg: &Arg) -> String {
    let environment = arg.get_env().map(|name| format!("Environment: {}.", name.display()));
    let choices: Vec<_> = arg.get_possible_values();
    let choices: Vec<_> = choices.iter().map(clap::builder::PossibleValue::get_name).collect();
    let choices = (!is_switch(arg) && !choices.is_empty())
        .then(|| format!("One of: {}.", choices.join(", ")));
    let defaults: Vec<_> =
        arg.get_default_values().iter().map(|value| value.display().to_string()).collect();
    let default = (!is_switch(arg) && !defaults.is_empty())
        .then(|| format!("Default: {}.", defaults.join(",")));
    [environment, choices, default].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn line(name: &str, arg: &Arg, matches: &ArgMatches) -> String {
    let id = arg.get_id().as_str();
    if is_switch(arg) {
        return format!("{name} = {}", matches.get_flag(id));
    }
    let values = matches.get_raw(id).into_iter().flatten();
    // What is no text cannot stand in a file of text.
    let values: Option<Vec<&str>> = values.map(|value| value.to_str()).collect();
    match values {
        Some(values) if values.is_empty() => {
            let hint = arg.get_value_names().and_then(<[_]>::first);
            format!("# {name} = {}", quoted(hint.map_or("VALUE", |hint| hint.as_str())))
        }
        Some(values) => {
            let value = values.join(",");
            match without_password(&value) {
                Some(safe) => format!("# {name} = {} # its password is not shown", quoted(&safe)),
                None => format!("{name} = {}", literal(&value)),
            }
        }
        None => format!("# {name} # its value is no UTF-8 text"),
    }
}

/// A number as such, everything else in quotes.
fn literal(value: &str) -> String {
    let is_number = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    if is_number { value.to_owned() } else { quoted(value) }
}

fn quoted(value: &str) -> String {
    let mut quoted = String::from('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter)); // A String takes everything.
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A URL that has a password, with stars for it; `None` if there is nothing to hide. Of one that is none, but may have been
/// meant to have a password, nothing is shown.
fn without_password(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((login, _)) = authority.rsplit_once('@') else {
        let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
        let is_host = authority.ends_with(']')
            || authority.rsplit_once(':').is_none_or(|(_, port)| is_port(port));
        return (!is_host).then(|| format!("{scheme}://***"));
    };
    let (user, password) = login.split_once(':')?;
    let behind = &rest[login.len()..];
    (!password.is_empty()).then(|| format!("{scheme}://{user}:***{behind}"))
}

/// A comment of whole words.
fn comment(page: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count() + 1;
        if column == 0 || column + width > COLUMNS {
            page.push_str(if column == 0 { "#" } else { "\n#" });
            column = 1;
        }
        page.push(' ');
        page.push_str(word);
        column += width;
    }
    if column > 0 {
        page.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let shown = |url| without_password(url);
        assert_eq!(
            shown("mysql://chat:geheim@db.example:3306/chat?x=a@b").as_deref(),
            Some("mysql://chat:***@db.example:3306/chat?x=a@b")
        );
        assert_eq!(shown("mysql://chat:a:b@h/").as_deref(), Some("mysql://chat:***@h/"));
        for open in [
            "http://host:80",
            "http://[::1]",
            "http://[::1]:80",
            "http://a:1,http://b:2",
            "redis://user@host",
            "127.0.0.1:4000",
            "http://h/a:b@c",
        ] {
            assert_eq!(shown(open), None, "{open}");
        }
        for wrong in ["redis://chat:geheim", "mysql://chat:ge/heim@h/", "mysql://chat:ge#heim@h/"] {
            assert!(!shown(wrong).unwrap().contains("ge"), "{wrong}");
        }
    }

    #[test]
    fn values_are_written_as_toml_reads_them() {
        for value in ["7", "-3", "007", "a \"b\" \\ c", "tab\there", "ä", "", "1e3"] {
            let table: toml::Table = format!("key = {}", literal(value)).parse().unwrap();
            let read = &table["key"];
            let number = read.as_integer().map(|number| number.to_string());
            assert_eq!(number.as_deref().or_else(|| read.as_str()), Some(value));
        }
    }

    #[test]
    fn comments_are_of_whole_words_and_no_wider_than_told() {
        let mut page = String::new();
        comment(&mut page, &"word ".repeat(60));
        assert!(page.lines().all(|line| line.starts_with("# word") && line.len() <= COLUMNS + 1));
        assert_eq!(page.matches("word").count(), 60);
    }
}
