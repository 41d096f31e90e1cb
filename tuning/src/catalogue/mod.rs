//! The catalogue: what each setting is for, as data. One source for `check`, `plan`, `explain`, `doctor` and the page.
//!
//! A setting whose value follows from the plan by a rule has it here (`want`, `word`); one that needs more has the name of a
//! judge among the checks.

mod setting;

use std::sync::LazyLock;

use serde::Deserialize;

pub use setting::{Evidence, How, Risk, Rule, Setting, Want};

const GROUPS: [&str; 6] = [
    include_str!("limits.toml"),
    include_str!("uring.toml"),
    include_str!("tcp.toml"),
    include_str!("path.toml"),
    include_str!("cpu.toml"),
    include_str!("memory.toml"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    setting: Vec<Setting>,
}

static CATALOGUE: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let group = |text: &&str| toml::from_str::<Group>(text).map(|group| group.setting);
    let groups: Result<Vec<_>, _> = GROUPS.iter().map(group).collect();
    groups
        .expect("the catalogue is compiled in, and a test reads it")
        .into_iter()
        .flatten()
        .collect()
});

/// Every setting, in the order of the check.
#[must_use]
pub fn all() -> &'static [Setting] {
    &CATALOGUE
}

/// The setting of that id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Setting> {
    all().iter().find(|setting| setting.id == id)
}

/// The settings whose ids come nearest to one that is not there: those of its group, or those that contain its name.
#[must_use]
pub fn near(id: &str) -> Vec<&'static str> {
    let (group, name) = id.split_once('.').unwrap_or((id, id));
    let is_near = |setting: &&Setting| {
        setting.id.contains(name)
            || name.contains(setting.name())
            || setting.id.starts_with(&format!("{group}."))
    };
    all().iter().filter(is_near).map(|setting| setting.id.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Form;

    #[test]
    fn every_entry_is_whole() {
        assert!(all().len() >= 40, "{}", all().len());
        let mut ids: Vec<_> = all().iter().map(|setting| setting.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all().len(), "an id is there twice");
        for setting in all() {
            let id = &setting.id;
            assert!(
                id.split_once('.')
                    .is_some_and(|(group, name)| !group.is_empty() && !name.is_empty()),
                "{id}"
            );
            for text in
                [&setting.title, &setting.why, &setting.not_when, &setting.harm, &setting.rests_on]
            {
                assert!(!text.trim().is_empty(), "{id}");
            }
            assert!(!setting.paths.is_empty(), "{id}");
            assert!(setting.why.ends_with('.') && setting.rests_on.ends_with('.'), "{id}");
            let rules =
                usize::from(!setting.want.is_empty()) + usize::from(!setting.word.is_empty());
            assert_eq!(
                rules + usize::from(setting.judge.is_some()),
                1,
                "{id}: one rule, or a judge"
            );
            assert!(!setting.wanted().trim().is_empty(), "{id} does not say what is wanted");
            if rules > 0 {
                assert!(!setting.note.is_empty(), "{id} does not say what follows");
                assert_eq!(setting.form == Form::Numbers, setting.word.is_empty(), "{id}");
            }
            if setting.how == How::Write {
                let is_kernel =
                    |path: &String| path.starts_with("/proc/") || path.starts_with("/sys/");
                assert!(setting.paths.iter().all(is_kernel), "{id}");
            }
        }
    }

    #[test]
    fn no_two_settings_write_the_same_file() {
        let writes = all().iter().filter(|setting| setting.how == How::Write);
        let mut paths: Vec<&String> =
            writes
                .flat_map(|setting| {
                    if setting.judge.is_some() { &setting.paths[..1] } else { &setting.paths }
                })
                .collect();
        let count = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }

    #[test]
    fn the_page_of_the_catalogue_has_what_the_design_asks_for() {
        let wanted = [
            "somaxconn",
            "tcp_max_syn_backlog",
            "tcp_mem",
            "tcp_rmem",
            "tcp_wmem",
            "ip_local_port_range",
            "netdev_max_backlog",
            "nf_conntrack_max",
            "file-max",
            "nr_open",
            "io_uring_disabled",
            "io_uring_group",
            "transparent_hugepage",
            "scaling_governor",
            "clocksource",
            "numa_balancing",
            "swappiness",
            "nmi_watchdog",
            "timer_migration",
            "rps_cpus",
            "xps_cpus",
            "softnet_stat",
            "busy_poll",
            "default_qdisc",
            "vulnerabilities",
            "/proc/interrupts",
            "cpuidle",
            "boost",
        ];
        let paths: Vec<_> = all().iter().flat_map(|setting| &setting.paths).collect();
        for name in wanted {
            assert!(paths.iter().any(|path| path.contains(name)), "{name} is in no entry");
        }
    }

    #[test]
    fn a_wrong_id_finds_its_neighbours() {
        assert!(near("somaxconn").contains(&"tcp.somaxconn"));
        assert!(near("tcp.backlog").contains(&"tcp.somaxconn"));
        assert!(near("zzz").is_empty());
    }
}
