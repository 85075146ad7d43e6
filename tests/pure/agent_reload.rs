//! What another configuration does to a running agent, without a socket.

use std::time::Duration;

use crate::desk::*;
use camera_agent::agent::{Command, Event};
use camera_agent::wire::{Incoming, Outgoing};

#[test]
fn another_name_is_claimed_at_once_and_calls_go_on() {
    let mut desk = Desk::online(4);
    let call = desk.call("alice", "AAAA", 'a');
    desk.agent.reconfigure(name("door"), 4, desk.now);
    assert_eq!(desk.agent.next_command(), Some(claims("door")));
    assert_eq!(desk.agent.next_command(), None);
    assert_eq!(desk.agent.name(), Some(&name("door")));
    assert_eq!(desk.agent.connected(), 1);
    assert_eq!(closed(&desk.hangs_up("alice", Some("door"))), [call]);
    // The old name is nothing to win back.
    desk.message(users(&["door"]));
    assert_eq!(desk.wait(Duration::from_secs(10)), []);
}

#[test]
fn the_same_name_is_not_claimed_again() {
    let mut desk = Desk::online(4);
    desk.agent.reconfigure(name("camera"), 2, desk.now);
    assert_eq!(desk.agent.next_command(), None);
}

#[test]
fn another_name_waits_for_the_server_where_there_is_none() {
    let mut desk = Desk::offline(4);
    desk.agent.reconfigure(name("door"), 4, desk.now);
    assert_eq!(desk.fire(Event::Timeout), [Command::Connect]);
    desk.fire(Event::SignalingOpen);
    assert_eq!(desk.message(Incoming::Id(id())), [claims("door")]);
}

#[test]
fn a_lower_limit_ends_no_call_and_refuses_the_next() {
    let mut desk = Desk::online(4);
    desk.call("alice", "AAAA", 'a');
    desk.call("bob", "BBBB", 'b');
    desk.agent.reconfigure(name("camera"), 1, desk.now);
    assert_eq!(desk.agent.viewers(), 2);
    let commands = desk.offers("carol", &offer("CCCC", 'c'));
    assert!(
        matches!(&hung_up(&commands)[..], [("carol", reason)] if reason.contains("as many")),
        "{commands:?}"
    );
}

#[test]
fn another_server_is_connected_to_at_once_and_calls_go_on() {
    let mut desk = Desk::online(4);
    desk.call("alice", "AAAA", 'a');
    desk.agent.reconnect(desk.now);
    assert_eq!(desk.agent.next_command(), Some(Command::Disconnect));
    assert_eq!(desk.agent.name(), None);
    assert_eq!(desk.fire(Event::Timeout), [Command::Connect]);
    desk.fire(Event::SignalingOpen);
    assert_eq!(desk.message(Incoming::Id(id())), [claims("camera")]);
    assert_eq!(desk.agent.connected(), 1);
}

#[test]
fn nothing_is_connected_to_during_the_goodbyes() {
    let mut desk = Desk::online(4);
    desk.fire(Event::Shutdown);
    desk.agent.reconnect(desk.now);
    assert_eq!(desk.agent.next_command(), None);
    assert_eq!(desk.agent.poll_timeout(), None);
}

#[test]
fn a_claim_carries_the_server_s_number() {
    let mut desk = Desk::online(4);
    desk.agent.reconfigure(name("door"), 4, desk.now);
    let Some(Command::Send(Outgoing::Username { id: sent, .. })) = desk.agent.next_command() else {
        panic!("no claim");
    };
    assert_eq!(sent, id());
}
