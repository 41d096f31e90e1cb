//! Network cards: what `ethtool` tells. It is asked and never told to change anything.

use super::network_card::{NET, cards, no_card, queues};
use super::{Scene, Unreadable};
use crate::finding::{Outcome, Profile, Status};
use crate::value::grouped;

/// What `ethtool` says of every card, or why not.
fn ask(scene: &Scene<'_>, flag: &str) -> Result<Vec<(String, String)>, Box<Outcome>> {
    let cards = cards(scene).map_err(|error| Box::new(Outcome::unknown(error.to_string())))?;
    if cards.is_empty() {
        return Err(Box::new(no_card()));
    }
    let mut said = Vec::new();
    for card in cards {
        match scene.root.tool(&["ethtool", flag, &card]) {
            Ok(text) => said.push((card, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Box::new(Outcome::unsupported(
                    "ethtool is not installed, and nothing else tells",
                )));
            }
            Err(_) => {} // the driver has no such thing, as virtual cards do not
        }
    }
    if said.is_empty() {
        Err(Box::new(Outcome::unsupported(
            "the card's driver does not tell (virtual cards do not)",
        )))
    } else {
        Ok(said)
    }
}

/// A row `name: value` of `ethtool`; `section` is a line above it, or empty.
fn told(text: &str, section: &str, name: &str) -> Option<String> {
    let start = if section.is_empty() { 0 } else { text.find(section)? };
    text[start..].lines().find_map(|line| {
        let value = line.trim().strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim().to_owned())
    })
}

fn drops(scene: &Scene<'_>, card: &str) -> u64 {
    let count =
        |name: &str| scene.number_if_any(&format!("{NET}/{card}/statistics/{name}")).ok().flatten();
    count("rx_missed_errors").unwrap_or(0).saturating_add(count("rx_fifo_errors").unwrap_or(0))
}

pub(super) fn rings(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let said = match ask(scene, "-g") {
        Ok(said) => said,
        Err(outcome) => return Ok(*outcome),
    };
    let mut shown = Vec::new();
    let mut steps = Vec::new();
    for (card, text) in &said {
        let number =
            |section: &str| told(text, section, "RX").and_then(|number| number.parse::<u64>().ok());
        let (Some(most), Some(is)) = (number("maximums"), number("Current")) else { continue };
        let dropped = drops(scene, card);
        shown.push(format!(
            "{card}: {} of {}, {} missed",
            grouped(is),
            grouped(most),
            grouped(dropped)
        ));
        if dropped > 0 && is < most {
            steps.push(format!("ethtool -G {card} rx {most}"));
        }
    }
    if shown.is_empty() {
        return Ok(Outcome::unsupported("the card's driver has no rings to set"));
    }
    let outcome = if steps.is_empty() {
        Outcome::new(
            Status::Ok,
            shown.join("; "),
            "no packet was missed, or the rings are as long as they can be",
        )
    } else {
        Outcome::new(
            Status::Warn,
            shown.join("; "),
            "packets found no place in the card's ring since the boot",
        )
    };
    Ok(outcome.wanted("none missed").value(steps.join("; ")))
}

pub(super) fn coalesce(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let said = match ask(scene, "-c") {
        Ok(said) => said,
        Err(outcome) => return Ok(*outcome),
    };
    let mut shown = Vec::new();
    let mut steps = Vec::new();
    for (card, text) in &said {
        let adaptive = text.lines().any(|line| line.starts_with("Adaptive RX: on"));
        let wait =
            told(text, "", "rx-usecs").and_then(|wait| wait.parse::<u64>().ok()).unwrap_or(0);
        shown.push(format!("{card}: {}, {wait} us", if adaptive { "adaptive" } else { "fixed" }));
        if adaptive || wait > 10 {
            steps.push(format!("ethtool -C {card} adaptive-rx off rx-usecs 5"));
        }
    }
    let is_slow = scene.plan.profile == Profile::Latency && !steps.is_empty();
    let outcome = if is_slow {
        Outcome::new(Status::Warn, shown.join("; "), "single messages wait in the card for others")
    } else {
        Outcome::new(
            Status::Note,
            shown.join("; "),
            "right for throughput; part of every measurement's report",
        )
    };
    Ok(outcome.wanted("a few us for latency, adaptive for throughput").value(steps.join("; ")))
}

pub(super) fn offloads(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let said = match ask(scene, "-k") {
        Ok(said) => said,
        Err(outcome) => return Ok(*outcome),
    };
    const WANTED: [(&str, &str); 4] = [
        ("rx-checksumming", "rx"),
        ("tx-checksumming", "tx"),
        ("tcp-segmentation-offload", "tso"),
        ("generic-receive-offload", "gro"),
    ];
    let mut off = Vec::new();
    let mut steps = Vec::new();
    for (card, text) in &said {
        for (name, short) in WANTED {
            // What the driver cannot change is marked [fixed].
            if told(text, "", name).as_deref() == Some("off") {
                off.push(format!("{card}: {name}"));
                steps.push(format!("ethtool -K {card} {short} on"));
            }
        }
    }
    Ok(if off.is_empty() {
        Outcome::new(Status::Ok, "on", "the card does what it can")
    } else {
        Outcome::new(
            Status::Warn,
            format!("off: {}", off.join(", ")),
            "the processor does what the card could",
        )
        .wanted("on")
        .value(steps.join("; "))
    })
}

pub(super) fn channels(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let cards = cards(scene)?;
    if cards.is_empty() {
        return Ok(no_card());
    }
    let cpus = scene.cpus().unwrap_or(1);
    let mut shown = Vec::new();
    let mut steps = Vec::new();
    for card in &cards {
        let (rx, tx) = (queues(scene, card, "rx-")?.len(), queues(scene, card, "tx-")?.len());
        shown.push(format!("{card}: {rx} receive, {tx} send"));
        let most = scene.root.tool(&["ethtool", "-l", card]).ok();
        let most = most
            .and_then(|text| told(&text, "maximums", "Combined")?.parse::<u64>().ok())
            .unwrap_or(0);
        let (wanted, is) = (most.min(cpus), u64::try_from(rx).unwrap_or(0));
        if is < wanted {
            steps.push(format!("ethtool -L {card} combined {wanted}"));
        }
    }
    let (status, note) = if steps.is_empty() {
        (Status::Ok, "as many as the card has, or as there are processors")
    } else {
        (Status::Note, "the card has more queues than are in use")
    };
    Ok(Outcome::new(status, shown.join("; "), note)
        .wanted("one for each processor that serves interrupts")
        .value(steps.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn rows_are_found_below_their_section() {
        let text = "Pre-set maximums:\nRX:\t\t4096\nCurrent hardware settings:\nRX:\t\t512\nRX Mini:\tn/a\n";
        assert_eq!(told(text, "maximums", "RX").as_deref(), Some("4096"));
        assert_eq!(told(text, "Current", "RX").as_deref(), Some("512"));
        assert_eq!(told(text, "nowhere", "RX"), None);
    }
}
