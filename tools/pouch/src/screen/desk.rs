//! Where the screen reads and writes the profile. Everything here is at this device, and done at
//! once; the connection is [`super::net`]'s.

use std::collections::{BTreeMap, BTreeSet};

use postroad_client::{Client, ContactView, Error, Event, Query, Result, Signs};
use postroad_proto::ids::AccountId;

use super::input::{Action, Data};
use super::model::{Chat, Standing};
use super::net::trouble;
use super::views;
use crate::error::explain;

/// Texts that a search shows.
const FOUND: usize = 100;
/// Letters of the id of a node without a name.
const SHORT: usize = 12;

/// The profile, and what of it the screen shows now.
pub(super) struct Desk {
    pub(super) client: Client,
    /// The newest event that was seen.
    newest: i64,
    open: Option<Open>,
    unread: BTreeMap<AccountId, usize>,
    signs: BTreeMap<AccountId, Signs>,
}

/// The open conversation.
#[derive(Clone, Copy)]
struct Open {
    account: AccountId,
    /// The oldest row that the screen has.
    first: i64,
    has_older: bool,
}

impl Desk {
    pub(super) fn new(client: Client) -> Self {
        let (unread, signs) = (BTreeMap::new(), BTreeMap::new());
        Self { client, newest: 0, open: None, unread, signs }
    }

    /// What the screen shows at first.
    pub(super) fn start(&mut self) -> Result<Vec<Data>> {
        if !self.client.is_joined()? {
            return Ok(vec![Data::NotJoined]);
        }
        self.newest = self.client.newest_event()?;
        let drafts = self.client.drafts()?;
        let mut data = vec![Data::Drafts(drafts)];
        data.extend(self.everybody()?);
        Ok(data)
    }

    /// The user has enough: contacts are told, if there is a connection that stays.
    pub(super) fn leave(&mut self) {
        if !self.client.is_read_only()
            && let Err(error) = self.client.gone()
        {
            // They see it all the same a little later.
            tracing::debug!(%error, "nobody was told that the user has gone");
        }
    }

    /// Whether contacts have been told what there was to tell.
    pub(super) fn is_told(&mut self) -> bool {
        self.client.is_told().unwrap_or(true)
    }

    /// What has happened since: also what the connection and other commands did.
    pub(super) fn news(&mut self) -> Result<Vec<Data>> {
        let events = self.client.events_since(self.newest)?;
        let (mut data, mut accounts) = (Vec::new(), BTreeSet::new());
        let mut is_all = false;
        for (number, event) in events {
            self.newest = number;
            match event {
                Event::Message { row } | Event::State { row, .. } | Event::Changed { row } => {
                    match self.client.message_at(row)? {
                        Some(message) => _ = accounts.insert(message.contact),
                        None => is_all = true,
                    }
                }
                Event::Request { .. } | Event::Contact { .. } => is_all = true,
                Event::Problem { code, message } => {
                    let hint = code;
                    data.push(Data::Failed(super::model::Trouble { message, hint }));
                }
            }
        }
        let signs = self.client.signs()?;
        if signs != self.signs {
            self.signs.clone_from(&signs);
            data.push(Data::Signs(signs));
        }
        if is_all {
            data.extend(self.everybody()?);
            data.extend(self.reload()?);
        } else if !accounts.is_empty() {
            for account in &accounts {
                data.extend(self.one(account)?);
            }
            if self.open.is_some_and(|open| accounts.contains(&open.account)) {
                data.extend(self.reload()?);
            }
            data.push(self.standing()?);
        }
        Ok(data)
    }

    /// What changes without an event: once in a while is enough.
    pub(super) fn look_around(&mut self) -> Result<Vec<Data>> {
        let unread = self.client.status()?.unread;
        let known: usize = self.unread.values().sum();
        // Another command has shown messages.
        if usize::try_from(unread).is_ok_and(|unread| unread != known) {
            return self.everybody();
        }
        Ok(vec![self.standing()?])
    }

    fn everybody(&mut self) -> Result<Vec<Data>> {
        self.unread.clear();
        let contacts = self.client.contacts()?;
        let chats =
            contacts.into_iter().map(|contact| self.chat(contact)).collect::<Result<_>>()?;
        let requests = views::requests(&mut self.client)?;
        Ok(vec![Data::Chats(chats), Data::Requests(requests), self.standing()?])
    }

    fn one(&mut self, account: &AccountId) -> Result<Option<Data>> {
        match self.client.contact(&account.to_string()) {
            Ok(contact) => {
                let is_asking = contact.phase == postroad_client::Phase::Asking;
                if is_asking && !contact.blocked {
                    return Ok(Some(Data::Requests(views::requests(&mut self.client)?)));
                }
                Ok(Some(Data::Chat(self.chat(contact)?)))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn chat(&mut self, contact: ContactView) -> Result<Chat> {
        let chat = views::chat(&mut self.client, contact)?;
        self.unread.insert(chat.account, chat.unread);
        Ok(chat)
    }

    fn standing(&mut self) -> Result<Data> {
        let (who, status) = (self.client.whoami()?, self.client.status()?);
        let id = || who.node.node.to_string().chars().take(SHORT).collect();
        let node = if who.node.name.is_empty() { id() } else { who.node.name.clone() };
        Ok(Data::Standing(Standing {
            who: who.handle.unwrap_or_else(|| who.account.to_string()),
            node,
            queued: status.queued,
            unsettled: status.unsettled,
            ..Standing::default()
        }))
    }

    /// Does what can be done at this device. What fails is said on the screen.
    pub(super) fn act(&mut self, action: Action) -> Vec<Data> {
        let failed = |error| vec![Data::Failed(trouble(explain(error)))];
        match action {
            // These go back to where they were written.
            Action::Send { account, text, answers } => {
                let sent = match &answers {
                    Some(id) => self.client.reply(id, &text),
                    None => self.client.send_text(&account.to_string(), &text),
                };
                self.stored(account, &text, sent)
            }
            Action::Edit { account, id, text } => {
                let sent = self.client.edit(&id, &text);
                self.stored(account, &text, sent)
            }
            other => self.try_to(other).unwrap_or_else(failed),
        }
    }

    fn stored(
        &mut self,
        account: AccountId,
        text: &str,
        sent: Result<postroad_client::Sent>,
    ) -> Vec<Data> {
        match sent.and_then(|_| self.changed(&account)) {
            Ok(data) => data,
            Err(error) => {
                let trouble = trouble(explain(error));
                vec![Data::NotSent { account, text: text.to_owned(), trouble }]
            }
        }
    }

    /// What a conversation looks like after it was written in.
    fn changed(&mut self, account: &AccountId) -> Result<Vec<Data>> {
        let mut data: Vec<Data> = self.one(account)?.into_iter().collect();
        if self.open.is_some_and(|open| open.account == *account) {
            data.extend(self.reload()?);
        }
        data.push(self.standing()?);
        Ok(data)
    }

    fn try_to(&mut self, action: Action) -> Result<Vec<Data>> {
        match action {
            Action::Load { account, count, until } => self.load(account, count, until),
            Action::Delete(id) => {
                self.client.delete(&id)?;
                self.reloaded()
            }
            Action::React(id, emoji) => {
                self.client.react(&id, emoji.as_deref())?;
                self.reloaded()
            }
            Action::Forward(id, to) => {
                let sent = self.client.forward(&id, &to.to_string())?;
                let mut data = self.changed(&to)?;
                data.push(Data::Done(format!("forwarded to {}", sent.chat)));
                Ok(data)
            }
            Action::Shown(rows) => self.shown(&rows),
            Action::Why(id) => Ok(vec![Data::Why(views::why(&self.client.why(&id)?))]),
            Action::Search(here, text) => {
                let search = Some(text);
                let query = Query { contact: here, search, last: FOUND, ..Query::default() };
                let found = self.client.messages(&query)?;
                Ok(vec![Data::Found(found.iter().rev().map(views::bubble).collect())])
            }
            Action::Accept(account) => {
                self.client.accept(&account.to_string())?;
                let mut data = self.everybody()?;
                data.push(Data::Added(account));
                Ok(data)
            }
            Action::Ignore(account) => {
                self.client.ignore(&account.to_string())?;
                self.everybody()
            }
            Action::Block(account) => {
                self.client.block(&account.to_string())?;
                self.reloaded()
            }
            Action::Unblock(account) => {
                self.client.unblock(&account.to_string())?;
                self.reloaded()
            }
            Action::Rename(account, name) => {
                self.client.rename(&account.to_string(), &name)?;
                let mut data = self.reloaded()?;
                data.push(Data::Renamed);
                Ok(data)
            }
            Action::SetTimer(account, seconds) => {
                self.client.set_timer(&account.to_string(), seconds)?;
                self.changed(&account)
            }
            Action::Safety(account) => self.safety(account),
            Action::SetVerified(account, is_verified) => self.set_verified(account, is_verified),
            Action::Draft(account, text) => {
                if !self.client.is_read_only() {
                    self.client.set_draft(&account, &text)?;
                }
                Ok(Vec::new())
            }
            // Nobody is told where nothing can be written.
            Action::Typing(..) | Action::Here(_) if self.client.is_read_only() => Ok(Vec::new()),
            Action::Typing(account, is_writing) => {
                let told = self.client.typing(&account, is_writing);
                Ok(Self::passed_over(told))
            }
            Action::Here(account) => {
                let told = self.client.here(&account);
                Ok(Self::passed_over(told))
            }
            // These are the loop's.
            _ => Ok(Vec::new()),
        }
    }

    /// What contacts are not told is no trouble of the user's: a full disk shows elsewhere.
    fn passed_over(told: Result<()>) -> Vec<Data> {
        if let Err(error) = told {
            tracing::debug!(%error, "a contact was not told what the user does");
        }
        Vec::new()
    }

    fn reloaded(&mut self) -> Result<Vec<Data>> {
        let mut data = self.everybody()?;
        data.extend(self.reload()?);
        Ok(data)
    }

    fn load(&mut self, account: AccountId, count: usize, until: Option<i64>) -> Result<Vec<Data>> {
        let mut last = count;
        let messages = loop {
            let query = Query { contact: Some(account), last, requests: true, ..Query::default() };
            let messages = self.client.messages(&query)?;
            let is_there = until.is_none_or(|row| messages.first().is_some_and(|m| m.row <= row));
            if is_there || messages.len() < last {
                break messages;
            }
            last = last.saturating_mul(2);
        };
        let first = messages.first().map_or(0, |message| message.row);
        let has_older = messages.len() == last;
        self.open = Some(Open { account, first, has_older });
        let messages = messages.iter().map(views::bubble).collect();
        Ok(vec![Data::Messages { account, messages, has_older }])
    }

    /// The open conversation again, as far back as the screen has it.
    fn reload(&mut self) -> Result<Option<Data>> {
        let Some(Open { account, first, has_older }) = self.open else { return Ok(None) };
        let query =
            Query { contact: Some(account), after: first - 1, requests: true, ..Query::default() };
        let messages = self.client.messages(&query)?.iter().map(views::bubble).collect();
        Ok(Some(Data::Messages { account, messages, has_older }))
    }

    fn shown(&mut self, rows: &[i64]) -> Result<Vec<Data>> {
        if self.client.is_read_only() {
            return Ok(Vec::new());
        }
        let mut seen = Vec::new();
        for row in rows {
            seen.extend(self.client.message_at(*row)?);
        }
        self.client.mark_shown(&seen)?;
        let accounts: BTreeSet<AccountId> = seen.iter().map(|message| message.contact).collect();
        let mut data = Vec::new();
        for account in &accounts {
            data.extend(self.one(account)?);
        }
        data.extend(self.reload()?);
        Ok(data)
    }
}
