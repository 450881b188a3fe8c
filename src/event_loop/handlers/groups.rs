//! Groups of connections: what is published to a group is sent to each of its members.

use std::collections::HashMap;

use slab::Slab;

use crate::conn::token::ConnToken;

/// A group of connections, by a number that the handlers choose. It exists while it has members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group(pub u64);

/// The members of all groups. Joining takes the same time however many members there are, and leaving takes time in
/// proportion to the groups of the connection.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The list of each group.
    lists: HashMap<Group, u32>,
    members: Slab<Members>,
    memberships: Slab<Membership>,
    /// Lists that somebody has left since they were last [settled](Self::settle).
    left: Vec<u32>,
}

/// The members of a group, in the order in which they have joined.
#[derive(Debug)]
struct Members {
    group: Group,
    list: Vec<Member>,
    /// Places in the list whose members have left.
    vacant: usize,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    to: ConnToken,
    membership: u32,
}

/// That a connection is a member of a group.
#[derive(Debug)]
struct Membership {
    /// The list of the group.
    list: u32,
    place: usize,
    /// Another one of the same connection.
    next: u32,
}

/// The memberships of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memberships(u32);

/// The first places of a list of members. Who joins later has a place behind them. They stay as they are until groups are
/// [settled](Groups::settle).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::event_loop) struct Places {
    list: u32,
    pub(super) count: usize,
}

const NONE: u32 = u32::MAX;

impl Memberships {
    pub(super) const NONE: Self = Self(NONE);
}

impl Groups {
    /// Adds a connection, unless it is a member already. Returns whether it was added.
    pub(super) fn join(&mut self, group: Group, to: ConnToken, of_conn: &mut Memberships) -> bool {
        let Self { lists, members, .. } = self;
        let list = *lists.entry(group).or_insert_with(|| {
            let list = members.insert(Members { group, list: Vec::new(), vacant: 0 });
            u32::try_from(list).expect("groups have 32 bits")
        });
        if self.find(list, *of_conn).is_some() {
            return false;
        }
        let members = &mut self.members[list as usize].list;
        let membership = Membership { list, place: members.len(), next: of_conn.0 };
        let key = u32::try_from(self.memberships.insert(membership)).expect("memberships have 32 bits");
        members.push(Member { to, membership: key });
        of_conn.0 = key;
        true
    }

    /// Removes a connection. Returns whether it was a member.
    pub(super) fn leave(&mut self, group: Group, of_conn: &mut Memberships) -> bool {
        let Some(list) = self.lists.get(&group) else { return false };
        let Some((before, key)) = self.find(*list, *of_conn) else { return false };
        let next = self.memberships[key as usize].next;
        match before {
            Some(before) => self.memberships[before as usize].next = next,
            None => of_conn.0 = next,
        }
        self.remove(key);
        true
    }

    /// Removes a connection from all groups.
    pub(super) fn leave_all(&mut self, of_conn: &mut Memberships) {
        while of_conn.0 != NONE {
            let key = of_conn.0;
            of_conn.0 = self.memberships[key as usize].next;
            self.remove(key);
        }
    }

    /// The number of members.
    pub(super) fn len(&self, group: Group) -> usize {
        let list = self.lists.get(&group).map(|list| &self.members[*list as usize]);
        list.map_or(0, |members| members.list.len() - members.vacant)
    }

    /// The places of those who are members now, if there are any.
    pub(super) fn places(&self, group: Group) -> Option<Places> {
        let list = *self.lists.get(&group)?;
        let count = self.members[list as usize].list.len();
        (count > 0).then_some(Places { list, count })
    }

    /// The member at one of the places, if it has not left.
    pub(super) fn member(&self, places: Places, place: usize) -> Option<ConnToken> {
        let member = self.members.get(places.list as usize)?.list.get(place)?;
        (member.membership != NONE).then_some(member.to)
    }

    /// Removes vacant places of groups that have many. Nothing refers to a place meanwhile.
    pub(super) fn settle(&mut self) {
        for list in self.left.drain(..) {
            let Some(members) = self.members.get_mut(list as usize) else { continue };
            if members.vacant * 2 <= members.list.len() {
                continue;
            }
            members.vacant = 0;
            members.list.retain(|member| member.membership != NONE);
            for (place, member) in members.list.iter().enumerate() {
                self.memberships[member.membership as usize].place = place;
            }
            members.list.shrink_to(members.list.len() * 2);
            if members.list.is_empty() {
                self.lists.remove(&members.group);
                self.members.remove(list as usize);
            }
        }
    }

    /// The number of groups that a connection is a member of.
    #[cfg(debug_assertions)]
    pub(super) fn count(&self, of_conn: Memberships) -> usize {
        let listed = |key: u32| (key != NONE).then_some(key);
        std::iter::successors(listed(of_conn.0), |key| listed(self.memberships[*key as usize].next)).count()
    }

    /// Panics if there are not as many members, and memberships, as `expected`.
    #[cfg(debug_assertions)]
    pub(super) fn check(&self, expected: usize) {
        let members: usize =
            self.members.iter().map(|(_, members)| members.list.len() - members.vacant).sum();
        assert_eq!((self.memberships.len(), members), (expected, expected), "memberships, and members");
    }

    /// A membership of the connection, and the one before it.
    fn find(&self, list: u32, of_conn: Memberships) -> Option<(Option<u32>, u32)> {
        let (mut before, mut key) = (None, of_conn.0);
        while key != NONE {
            let membership = &self.memberships[key as usize];
            if membership.list == list {
                return Some((before, key));
            }
            (before, key) = (Some(key), membership.next);
        }
        None
    }

    fn remove(&mut self, key: u32) {
        let Membership { list, place, .. } = self.memberships.remove(key as usize);
        let members = &mut self.members[list as usize];
        members.list[place].membership = NONE;
        members.vacant += 1;
        self.left.push(list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Group = Group(1);
    const OTHER: Group = Group(2);

    fn token(key: u32) -> ConnToken {
        ConnToken { key, generation: 0 }
    }

    fn members(groups: &Groups, group: Group) -> Vec<u32> {
        let Some(places) = groups.places(group) else { return Vec::new() };
        (0..places.count).filter_map(|place| groups.member(places, place)).map(|to| to.key).collect()
    }

    #[test]
    fn members_are_listed_once_in_the_order_of_joining() {
        let mut groups = Groups::default();
        let mut of_conns = [Memberships::NONE; 3];
        for key in [2, 0, 1] {
            assert!(groups.join(ROOM, token(key), &mut of_conns[key as usize]));
            assert!(!groups.join(ROOM, token(key), &mut of_conns[key as usize]));
        }
        assert!(groups.join(OTHER, token(0), &mut of_conns[0]));
        assert_eq!((members(&groups, ROOM), groups.len(ROOM)), (vec![2, 0, 1], 3));
        assert_eq!(members(&groups, OTHER), [0]);
    }

    #[test]
    fn places_stay_as_they_are_until_groups_are_settled() {
        let mut groups = Groups::default();
        let mut of_conns = [Memberships::NONE; 5];
        for key in 0..4 {
            groups.join(ROOM, token(key), &mut of_conns[key as usize]);
        }
        let places = groups.places(ROOM).unwrap();
        for key in [0, 1, 3] {
            assert!(groups.leave(ROOM, &mut of_conns[key]));
            assert!(!groups.leave(ROOM, &mut of_conns[key]));
        }
        groups.join(ROOM, token(4), &mut of_conns[4]);
        let before: Vec<_> = (0..places.count).filter_map(|place| groups.member(places, place)).collect();
        assert_eq!(before, [token(2)], "the one that joined later is behind them");
        assert_eq!((members(&groups, ROOM), groups.len(ROOM)), (vec![2, 4], 2));
        groups.settle();
        assert_eq!((members(&groups, ROOM), groups.places(ROOM).unwrap().count), (vec![2, 4], 2));
        // Memberships have followed.
        assert!(groups.leave(ROOM, &mut of_conns[4]));
        assert_eq!(members(&groups, ROOM), [2]);
    }

    #[test]
    fn a_connection_leaves_each_of_its_groups_and_an_empty_group_is_gone() {
        let mut groups = Groups::default();
        let (mut first, mut second) = (Memberships::NONE, Memberships::NONE);
        for number in 0..10 {
            groups.join(Group(number), token(1), &mut first);
        }
        groups.join(Group(3), token(2), &mut second);
        for number in [9, 0, 4] {
            assert!(groups.leave(Group(number), &mut first));
        }
        assert_eq!((0..10).filter(|number| groups.len(Group(*number)) == 1).count(), 6);
        groups.leave_all(&mut first);
        groups.settle();
        assert_eq!(members(&groups, Group(3)), [2]);
        groups.leave_all(&mut second);
        groups.settle();
        assert!(groups.lists.is_empty() && groups.members.is_empty());
        assert!(groups.memberships.is_empty() && groups.left.is_empty());
    }
}
