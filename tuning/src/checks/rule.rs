//! Settings that the catalogue's rules decide.

use super::{Scene, Unreadable, form};
use crate::catalogue::{Rule, Setting, Want};
use crate::finding::{Outcome, Status};
use crate::formula::Formula;
use crate::value::{Form, choices, grouped, numbers};

/// One file, judged.
struct Judged {
    path: String,
    text: String,
    is: String,
    wanted: String,
    /// What to write if it is not as wanted.
    to: Option<String>,
    fails: bool,
}

pub(super) fn judge(scene: &Scene<'_>, setting: &Setting) -> Result<Outcome, Unreadable> {
    let mut all = Vec::new();
    for pattern in &setting.paths {
        for path in scene.expand(pattern)? {
            if let Some(text) = scene.read_if_any(&path)? {
                match judge_file(scene, setting, path, text)? {
                    Ok(judged) => all.push(judged),
                    Err(name) => {
                        return Ok(Outcome::unknown(format!(
                            "{name} of this machine is not known"
                        )));
                    }
                }
            }
        }
    }
    let Some(first) = all.first() else {
        let missing = setting.missing.as_deref().unwrap_or("this machine has no such setting");
        return Ok(Outcome::unsupported(missing));
    };
    // The value of many files is told once if they agree.
    let is_one = all.iter().all(|judged| judged.is == first.is);
    let current = if is_one {
        first.is.clone()
    } else {
        let values: Vec<_> = all.iter().map(|judged| judged.is.as_str()).collect();
        values.join(" / ")
    };
    if let Some(when) = &setting.when
        && is_true(scene, when, None).is_ok_and(|is_true| !is_true)
    {
        let note = format!("this plan wants nothing here (only if {when})");
        return Ok(Outcome::new(Status::Ok, current, note).wanted("as it is"));
    }
    let wrong = all.iter().filter(|judged| judged.to.is_some()).count();
    let status = match (wrong, all.iter().any(|judged| judged.to.is_some() && judged.fails)) {
        (0, _) => Status::Ok,
        (_, true) => Status::Fail,
        (_, false) => Status::Warn,
    };
    let note = if status == Status::Ok { "as wanted" } else { &setting.note };
    let mut outcome = Outcome::new(status, current, note).wanted(first.wanted.clone());
    for judged in all {
        if let Some(to) = judged.to {
            if outcome.value.is_empty() {
                outcome.value.clone_from(&to);
            }
            outcome = outcome.write(&judged.path, &judged.text, to);
        }
    }
    Ok(outcome)
}

/// The name of a fact that is not known, or the verdict.
fn judge_file(
    scene: &Scene<'_>,
    setting: &Setting,
    path: String,
    text: String,
) -> Result<Result<Judged, String>, Unreadable> {
    if !setting.word.is_empty() {
        return judge_word(setting, path, text).map(Ok);
    }
    let is = numbers(&text)
        .filter(|is| is.len() >= setting.want.len())
        .ok_or_else(|| form(&path, &text))?;
    let mut to = is.clone();
    let mut wanted = Vec::new();
    let mut first_wanted = 0;
    for (index, want) in setting.want.iter().enumerate() {
        let value = match want.formula.evaluate(&|name| scene.fact(name)) {
            Ok(value) => value,
            Err(name) => return Ok(Err(name)),
        };
        if index == 0 {
            first_wanted = value;
        }
        to[index] = brought_to(want, is[index], value);
        wanted.push(in_words(want.rule, value));
    }
    let fails = match &setting.fail {
        Some(fail) => match is_true(scene, fail, Some((is[0], first_wanted))) {
            Ok(fails) => fails,
            Err(name) => return Ok(Err(name)),
        },
        None => false,
    };
    // A value can be as wanted and fail all the same: too short a timeout is within "at most".
    let is_wrong = to != is;
    let join = |numbers: &[i128], show: fn(&i128) -> String| {
        numbers.iter().map(show).collect::<Vec<_>>().join(" ")
    };
    Ok(Ok(Judged {
        is: join(&is, |number| u64::try_from(*number).map_or_else(|_| number.to_string(), grouped)),
        wanted: wanted.join(", "),
        to: (is_wrong || fails).then(|| join(&to, ToString::to_string)),
        fails,
        path,
        text,
    }))
}

fn judge_word(setting: &Setting, path: String, text: String) -> Result<Judged, Unreadable> {
    let is = setting.form.canonical(&text).ok_or_else(|| form(&path, &text))?;
    let possible = choices(&text);
    // The first of the good words that this kernel knows.
    let best =
        setting.word.iter().find(|word| possible.is_empty() || possible.contains(&word.as_str()));
    let is_wrong = setting.form != Form::Numbers && !setting.word.contains(&is);
    Ok(Judged {
        wanted: setting.word.join(" or "),
        to: best.filter(|_| is_wrong).cloned(),
        fails: false,
        is,
        path,
        text,
    })
}

fn is_true(
    scene: &Scene<'_>,
    formula: &Formula,
    own: Option<(i128, i128)>,
) -> Result<bool, String> {
    let fact = |name: &str| match (name, own) {
        ("is", Some((is, _))) => Some(is),
        ("want", Some((_, want))) => Some(want),
        _ => scene.fact(name),
    };
    formula.evaluate(&fact).map(|value| value != 0)
}

fn brought_to(want: &Want, is: i128, value: i128) -> i128 {
    match want.rule {
        Rule::AtLeast => is.max(value),
        Rule::AtMost => is.min(value),
        Rule::Exactly => value,
    }
}

fn in_words(rule: Rule, value: i128) -> String {
    let value = u64::try_from(value).map_or_else(|_| value.to_string(), grouped);
    match rule {
        Rule::AtLeast => format!("{value} or more"),
        Rule::AtMost => format!("{value} or less"),
        Rule::Exactly => value,
    }
}
