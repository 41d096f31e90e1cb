//! The doctor on recorded machines that have something: each ailment must be named, and nothing else.

mod ground;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use ground::{machine, path, plan, run};
use tuning::Plan;
use tuning::doctor::{Answer, Look, Severity, Source, diagnose};
use tuning::root::Recording;

/// The real recorded machine, with these files of a moment later, and others changed.
fn with(more: &str) -> Recording {
    let text = std::fs::read_to_string(path("kvm-guest-cgroup-v1")).unwrap();
    // What was recorded of a later moment is taken away: it would be there twice.
    let mut kept = String::new();
    let mut is_kept = true;
    for line in text.lines() {
        if line.starts_with("@ ") {
            let replaced = more.lines().any(|other| other == line);
            is_kept = !line.ends_with(" >") && !replaced;
        }
        if is_kept {
            kept += line;
            kept.push('\n');
        }
    }
    Recording::parse(&(kept + more)).unwrap()
}

fn look(root: &Recording, plan: &Plan) -> Answer {
    let look = Look { node: Source::Machine, pid: None, window: Duration::from_secs(10) };
    diagnose(root, plan, &look)
}

#[track_caller]
fn expect(answer: &Answer, about: &str, severity: Severity, says: &str) {
    let all: Vec<_> =
        answer.diagnoses.iter().filter(|diagnosis| diagnosis.about == about).collect();
    let found =
        all.iter().any(|diagnosis| diagnosis.severity == severity && diagnosis.says.contains(says));
    assert!(found, "{severity:?} {says:?} is not in {all:#?}");
}

/// A file of the machine with one counter grown.
fn netstat(name: &str, by: u64) -> String {
    let text = std::fs::read_to_string(path("kvm-guest-cgroup-v1")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("TcpExt:")).collect();
    let at = lines[0].split_whitespace().position(|known| known == name).unwrap();
    let mut numbers: Vec<String> = lines[1].split_whitespace().map(str::to_owned).collect();
    numbers[at] = (numbers[at].parse::<u64>().unwrap() + by).to_string();
    format!("@ /proc/net/netstat >\n{}\n{}\n", lines[0], numbers.join(" "))
}

#[test]
fn a_well_machine_is_well() {
    let answer = look(&with(""), &plan(10_000));
    let limits: Vec<_> =
        answer.diagnoses.iter().filter(|diagnosis| diagnosis.severity == Severity::Limit).collect();
    assert!(limits.is_empty(), "{limits:#?}");
    expect(&answer, "accept queue", Severity::Risk, "3,594 drops earlier");
    expect(&answer, "node", Severity::Note, "no node was named");
    expect(&answer, "uring.permission", Severity::Ok, "can use io_uring");
}

#[test]
fn each_counter_has_its_words() {
    let cases: [(&str, &str, &str); 6] = [
        ("ListenOverflows", "accept queue", "7 times in 10.0 s a listen queue was full"),
        ("ListenDrops", "accept queue", "7 connections dropped"),
        ("TCPReqQFullDrop", "handshakes", "7 dropped"),
        ("TCPReqQFullDoCookies", "handshakes", "7 answered with cookies"),
        ("TCPAbortOnMemory", "TCP memory", "7 connections aborted"),
        ("TCPMemoryPressures", "TCP memory", "under pressure 7 times"),
    ];
    for (name, about, says) in cases {
        expect(&look(&with(&netstat(name, 7)), &plan(10_000)), about, Severity::Limit, says);
    }
}

#[test]
fn the_machines_ailments_are_named() {
    let more = "@ /proc/net/softnet_stat >\n\
        ffffffff 0010ffff 00000050 0 0 0 0 0 0 0 0 0 0 0 0\nffffffff 0003d570 0000005a 0 0 0 0 0 0 0 0 0 1 0 0\n\
        @ /proc/stat\ncpu  1000 0 1000 8000 0 0 0 0 0 0\ncpu0 500 0 500 4000 0 0 0 0 0 0\ncpu1 500 0 500 4000 0 0 0 0 0 0\n\
        @ /proc/stat >\ncpu  1700 0 1000 8020 0 0 0 280 0 0\ncpu0 850 0 500 4010 0 0 0 140 0 0\ncpu1 850 0 500 4010 0 0 0 140 0 0\n\
        @ /proc/pressure/cpu\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=1000\n\
        @ /proc/pressure/cpu >\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=5001000\n\
        @ /proc/vmstat\noom_kill 1\ncompact_stall 5\nallocstall_normal 2\n\
        @ /proc/vmstat >\noom_kill 3\ncompact_stall 9\nallocstall_normal 2\n\
        @ /proc/sys/fs/file-nr\n900 0 1000\n";
    let answer = look(&with(more), &plan(1_000_000));
    expect(&answer, "packet input queue", Severity::Limit, "packets dropped in 10.0 s");
    expect(&answer, "stolen time", Severity::Limit, "28.0 % while watched");
    expect(&answer, "processors", Severity::Limit, "98.0 % busy");
    expect(&answer, "cpu pressure", Severity::Limit, "50.0 % of the time");
    expect(&answer, "memory", Severity::Limit, "2 processes were killed");
    expect(&answer, "open files", Severity::Risk, "900 of 1,000");
    expect(&answer, "limits.nofile", Severity::Limit, "hard limit is too low");
    assert_eq!(answer.exit_code(false), 4);
    // The worst come first.
    let order: Vec<_> = answer.diagnoses.iter().map(|diagnosis| diagnosis.severity).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn the_cliff_of_ports_is_seen_before_it_is_met() {
    let table = |count: u16| {
        let rows: String = (0..count)
            .map(|index| {
                format!(
                    "   {index}: 0100007F:{:04X} 0100007F:1F90 01 0:0 0:0 0 0 0 0\n",
                    32_768 + index
                )
            })
            .collect();
        format!("@ /proc/net/tcp\n  sl  local_address rem_address   st\n{rows}")
    };
    expect(
        &look(&with(&table(1_000)), &plan(10_000)),
        "local ports",
        Severity::Ok,
        "1,000 of the 28,232 ports",
    );
    expect(
        &look(&with(&table(12_000)), &plan(10_000)),
        "local ports",
        Severity::Risk,
        "cliff is near 14,116",
    );
    expect(
        &look(&with(&table(14_117)), &plan(10_000)),
        "local ports",
        Severity::Limit,
        "port 8080",
    );
}

#[test]
fn control_groups_that_stop_or_squeeze_are_named() {
    let text = std::fs::read_to_string(path("container-cgroup-v2")).unwrap();
    let later = "@ /sys/fs/cgroup/cpu.stat >\nnr_periods 600\nnr_throttled 60\nthrottled_usec 2400000\n\
        @ /sys/fs/cgroup/memory.events >\nlow 0\nhigh 3\nmax 14\noom 0\noom_kill 0\n";
    let root = Recording::parse(&(text + later)).unwrap();
    let answer = look(&root, &plan(1_000));
    expect(&answer, "processor quota", Severity::Limit, "stopped 19 times, for 500.0 ms");
    expect(
        &answer,
        "control group's memory",
        Severity::Limit,
        "memory.high 3 times and stood at memory.max 2 times",
    );
    expect(&answer, "uring.permission", Severity::Limit, "seccomp");
    expect(
        &look(&machine("container-cgroup-v1"), &plan(1_000)),
        "uring.permission",
        Severity::Limit,
        "ENOSYS",
    );
}

const NODE: &str = "@ /probe/info\n{\"pid\":4711}\n\
    @ /proc/4711/limits\nMax open files            20000                20000                files\n\
    @ /proc/4711/task/4711/comm\nshard 0\n@ /proc/4711/task/4711/schedstat\n0 0 1\n\
    @ /proc/4711/task/4711/schedstat >\n9900000000 100000000 1\n\
    @ /probe/metrics\nringline_node_sessions{shard=\"0\"} 500\nringline_node_connections{shard=\"0\"} 500\n\
    ringline_node_busy_total{shard=\"0\"} 5\nringline_node_open_descriptors{shard=\"0\"} 17000\n\
    ringline_node_turn_seconds_bucket{le=\"0.001\",shard=\"0\"} 10\nringline_node_turn_seconds_bucket{le=\"+Inf\",shard=\"0\"} 10\n\
    @ /probe/metrics >\nringline_node_sessions{shard=\"0\"} 500\nringline_node_connections{shard=\"0\"} 500\n\
    ringline_node_busy_total{shard=\"0\"} 17\nringline_node_open_descriptors{shard=\"0\"} 17000\n\
    ringline_node_turn_seconds_bucket{le=\"0.001\",shard=\"0\"} 12\nringline_node_turn_seconds_bucket{le=\"0.1\",shard=\"0\"} 40\n\
    ringline_node_turn_seconds_bucket{le=\"+Inf\",shard=\"0\"} 40\n";

#[test]
fn a_nodes_figures_and_the_machines_are_read_together() {
    let answer = look(&with(NODE), &plan(1_000));
    assert_eq!(answer.pid, Some(4711));
    expect(&answer, "node", Severity::Ok, "500 sessions");
    expect(&answer, "busy", Severity::Limit, "12 messages were answered `busy`");
    expect(&answer, "node's loop", Severity::Limit, "turns of 100.00 ms");
    expect(&answer, "node's threads", Severity::Limit, "shard 0 ran 99 %");
    expect(&answer, "node's descriptors", Severity::Unknown, "fd");
    // The same with a list of descriptors: the ring's table is what is nearly full.
    let descriptors: String =
        (0..40).map(|number| format!("@ /proc/4711/fd/{number}\nsocket\n")).collect();
    let answer = look(&with(&format!("{NODE}{descriptors}")), &plan(1_000));
    expect(&answer, "node's descriptors", Severity::Risk, "the fullest ring's table has 17,000");
    // A host that takes the time is to blame for long turns, and is named.
    let stolen = "@ /proc/stat\ncpu  1000 0 1000 8000 0 0 0 0 0 0\ncpu0 1000 0 1000 8000 0 0 0 0 0 0\n\
        @ /proc/stat >\ncpu  1100 0 1000 8700 0 0 0 200 0 0\ncpu0 1100 0 1000 8700 0 0 0 200 0 0\n";
    let answer = look(&with(&format!("{NODE}{stolen}")), &plan(1_000));
    let loop_says =
        answer.diagnoses.iter().find(|diagnosis| diagnosis.about == "node's loop").unwrap();
    assert!(loop_says.todo[0].contains("the host took 20.0 %"), "{loop_says:?}");
}

/// Answers every request with the same page until the test is over.
fn server(status: &'static str, page: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request);
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n\r\n{page}");
        }
    });
    address
}

fn doctor(node: &str) -> ground::Said {
    let root = path("bare-metal-intel");
    run(&["doctor", "--root", root.to_str().unwrap(), "--window", "1ms", "--node", node])
}

#[test]
fn a_node_is_asked_over_http() {
    let address = server(
        "200 OK",
        "ringline_node_sessions{shard=\"0\"} 3\nringline_node_connections{shard=\"0\"} 4\n",
    );
    let said = doctor(&format!("http://{address}/metrics"));
    assert!(said.out.contains("OK") && !said.out.contains("cannot be read"), "{}", said.out);
    let refused = doctor(&server("404 Not Found", ""));
    assert_eq!(refused.code, 5, "{}", refused.out);
    assert!(refused.out.contains("404"), "{}", refused.out);
    // A port that nobody listens at.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_eq!(doctor(&closed).code, 5);
    assert_eq!(doctor("https://127.0.0.1:1").code, 2);
}

#[test]
fn this_machine_can_be_looked_at() {
    let said = run(&["doctor", "--window", "50ms", "--json"]);
    assert!([0, 4, 5].contains(&said.code), "{}", said.error);
    let answer: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(answer["diagnoses"].as_array().unwrap().len() > 20);
    assert!(answer["seconds"].as_f64().unwrap() >= 0.05);
}
