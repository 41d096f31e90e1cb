//! Network cards: queues and interrupts. A machine without a card, or with one that tells nothing, has no
//! such settings; nothing here is an error.

use super::{Scene, Unreadable};
use crate::finding::{Outcome, Profile, Status};
use crate::limits::CARDS_MAX;
use crate::value::{Form, grouped};

pub(super) const NET: &str = "/sys/class/net";

/// Interfaces with a device behind them: neither loopback nor bridges, tunnels and the like.
pub(super) fn cards(scene: &Scene<'_>) -> Result<Vec<String>, Unreadable> {
    let mut cards = Vec::new();
    for name in scene.list_if_any(NET)? {
        let device = format!("{NET}/{name}/device");
        if scene.root.link(&device).is_ok() && cards.len() < CARDS_MAX {
            cards.push(name);
        }
    }
    Ok(cards)
}

pub(super) fn queues(scene: &Scene<'_>, card: &str, kind: &str) -> Result<Vec<String>, Unreadable> {
    let folder = format!("{NET}/{card}/queues");
    let names = scene.list_if_any(&folder)?;
    Ok(names
        .into_iter()
        .filter(|name| name.starts_with(kind))
        .map(|name| format!("{folder}/{name}"))
        .collect())
}

pub(super) fn no_card() -> Outcome {
    Outcome::unsupported("no network card is seen here; loopback has none of this")
}

/// All processors as a mask; `None` beyond what one is sure of.
fn all_processors(cpus: u64) -> Option<String> {
    if !(1..=1_024).contains(&cpus) {
        return None;
    }
    let first = match cpus % 32 {
        0 => u32::MAX,
        rest => (1_u32 << rest) - 1,
    };
    let mut mask = format!("{first:x}");
    for _ in 1..cpus.div_ceil(32) {
        mask.push_str(",ffffffff");
    }
    Some(mask)
}

pub(super) fn rps(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let cards = cards(scene)?;
    let Some(cpus) = scene.cpus() else {
        return Ok(Outcome::unknown("/proc/stat names no processors"));
    };
    let mut shown = Vec::new();
    let mut writes = Vec::new();
    for card in &cards {
        let queues = queues(scene, card, "rx-")?;
        let is_few = u64::try_from(queues.len()).is_ok_and(|count| count < cpus);
        let mut masks = Vec::new();
        for queue in &queues {
            let path = format!("{queue}/rps_cpus");
            let Some(text) = scene.read_if_any(&path)? else { continue };
            let is_off = Form::Mask.is_same(&text, "0");
            masks.push(Form::Mask.canonical(&text).unwrap_or_default());
            if let Some(all) = all_processors(cpus).filter(|_| is_off && is_few && cpus >= 4) {
                writes.push((path, text, all));
            }
        }
        shown.push(format!("{card}: {} queue(s), masks {}", queues.len(), masks.join(" ")));
    }
    if cards.is_empty() {
        return Ok(no_card());
    }
    let is_wanted = scene.plan.profile == Profile::Throughput && !writes.is_empty();
    let current = shown.join("; ");
    if !is_wanted {
        let note = if writes.is_empty() {
            "enough queues, or too few processors to spread to"
        } else {
            "fewer queues than processors; RPS would help a card's throughput (profile throughput)"
        };
        let status = if writes.is_empty() { Status::Ok } else { Status::Note };
        return Ok(Outcome::new(status, current, note));
    }
    let mut outcome = Outcome::new(Status::Warn, current, "a few processors handle all packets")
        .wanted("all processors");
    for (path, text, to) in writes {
        outcome = outcome.write(&path, &text, to);
    }
    Ok(outcome)
}

pub(super) fn rfs(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let Some(entries) = scene.number_if_any("/proc/sys/net/core/rps_sock_flow_entries")? else {
        return Ok(Outcome::unsupported("only the machine's own network namespace shows it"));
    };
    let mut spreads = false;
    for card in cards(scene)? {
        for queue in queues(scene, &card, "rx-")? {
            let mask = scene.read_if_any(&format!("{queue}/rps_cpus"))?;
            spreads |= mask.is_some_and(|mask| !Form::Mask.is_same(&mask, "0"));
        }
    }
    let current = format!("{} entries", grouped(entries));
    if !spreads || entries > 0 {
        let note = if spreads {
            "packets go where their connection is read"
        } else {
            "has no meaning without RPS"
        };
        return Ok(Outcome::new(Status::Ok, current, note));
    }
    let wanted = scene.plan.connections.clamp(32_768, 1 << 20).next_power_of_two();
    let note = "packets are spread by their flow, not to the processor that reads them";
    Ok(Outcome::new(Status::Warn, current, note).wanted(grouped(wanted)).value(wanted))
}

pub(super) fn xps(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let mut shown = Vec::new();
    let mut is_unset = false;
    for card in cards(scene)? {
        let queues = queues(scene, &card, "tx-")?;
        let mut set = 0;
        for queue in &queues {
            // A card with one queue refuses to be read: there is nothing to choose.
            let mask = scene.root.read(&format!("{queue}/xps_cpus")).unwrap_or_default();
            set += usize::from(Form::Mask.canonical(&mask).is_some_and(|mask| mask != "0"));
        }
        is_unset |= queues.len() > 1 && set == 0;
        shown.push(format!("{card}: {} of {} queues set", set, queues.len()));
    }
    if shown.is_empty() {
        return Ok(no_card());
    }
    let (status, note) = if is_unset {
        (Status::Note, "several send queues, and any processor may use any")
    } else {
        (Status::Ok, "set up, or nothing to choose")
    };
    Ok(Outcome::new(status, shown.join("; "), note))
}

/// The interrupts of a card: numbers, and how often each processor served them.
fn interrupts(text: &str, card: &str, device: &str) -> Vec<(String, Vec<u64>)> {
    let cpus = text.lines().next().unwrap_or_default().split_whitespace().count();
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let (number, rest) = line.split_once(':')?;
            let mut words = rest.split_whitespace();
            let counts: Vec<u64> =
                words.by_ref().take(cpus).map_while(|count| count.parse().ok()).collect();
            let name = words.last()?;
            let is_of = |owner: &str| {
                !owner.is_empty()
                    && name.strip_prefix(owner).is_some_and(|rest| {
                        rest.is_empty() || rest.starts_with(['-', '@', '_', '.'])
                    })
            };
            let is_queue = !name.ends_with("config") && !name.ends_with("async");
            (is_queue && (is_of(card) || is_of(device))).then(|| (number.trim().to_owned(), counts))
        })
        .collect()
}

pub(super) fn irq_affinity(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let cards = cards(scene)?;
    if cards.is_empty() {
        return Ok(no_card());
    }
    let text = scene.read_if_any("/proc/interrupts")?.unwrap_or_default();
    let mut shown = Vec::new();
    for card in &cards {
        // A virtio card's interrupts carry the device's name.
        let device = scene.root.link(&format!("{NET}/{card}/device")).unwrap_or_default();
        let device = device.rsplit('/').next().unwrap_or_default().to_owned();
        let mut places = Vec::new();
        for (number, counts) in interrupts(&text, card, &device) {
            let allowed = scene.read_if_any(&format!("/proc/irq/{number}/smp_affinity_list"))?;
            let busiest =
                counts.iter().enumerate().max_by_key(|(_, count)| **count).map(|(cpu, _)| cpu);
            let allowed = allowed.map_or_else(|| "?".to_owned(), |list| list.trim().to_owned());
            let busiest = busiest.map_or_else(|| "?".to_owned(), |cpu| cpu.to_string());
            places.push(format!("{number} on {busiest} (may: {allowed})"));
        }
        if places.is_empty() {
            places.push("none found".to_owned());
        }
        places.truncate(8);
        shown.push(format!("{card}: {}", places.join(", ")));
    }
    let cpus = scene.cpus().unwrap_or(1);
    let (status, note) = if cpus < 4 {
        (Status::Ok, "too few processors to keep interrupts and shards apart")
    } else {
        (Status::Note, "look whether a shard (--cpus) shares a processor with one of these")
    };
    Ok(Outcome::new(status, shown.join("; "), note).wanted("not on the shards' processors"))
}

#[cfg(test)]
mod tests {
    use super::{all_processors, interrupts};

    #[test]
    fn masks_of_all_processors() {
        assert_eq!(all_processors(2).unwrap(), "3");
        assert_eq!(all_processors(32).unwrap(), "ffffffff");
        assert_eq!(all_processors(40).unwrap(), "ff,ffffffff");
        assert_eq!(all_processors(0), None);
        assert_eq!(all_processors(u64::MAX), None);
    }

    #[test]
    fn a_cards_interrupts_are_found_by_its_name_or_its_devices() {
        let text = "           CPU0       CPU1\n 41:   16410   7   PCI-MSIX-0000:00:04.0   1-edge   virtio3-rx\n \
                    43:   1   0   PCI-MSIX-0000:00:04.0   3-edge   virtio3-config\n 50:  1  9  PCI-MSI 5-edge  eth0-TxRx-0\n \
                    51:  1  9  PCI-MSI 5-edge  eth01-TxRx-0\nNMI:   0   0   Non-maskable interrupts\n";
        assert_eq!(
            interrupts(text, "eth0", "virtio3"),
            [("41".to_owned(), vec![16410, 7]), ("50".to_owned(), vec![1, 9])]
        );
        assert!(interrupts("", "eth0", "").is_empty());
    }
}
