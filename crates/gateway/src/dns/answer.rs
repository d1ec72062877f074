//! The answer to a query.

use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use rserpool::user::{Element, Resolution};

use super::counters::{Count, Counters};
use super::names::{Asked, PoolName, Protocol};
use super::pools::{Found, Pools};
use super::{Config, records};

/// Octets of a header.
const HEADER: usize = 12;
/// The least that any client takes over UDP.
const UDP_OCTETS_MIN: usize = 512;
/// The most over TCP.
const TCP_OCTETS_MAX: usize = u16::MAX as usize;
/// Records that a query may bring: EDNS, and a signature that is not looked at.
const ADDITIONALS_MAX: u16 = 2;

/// Answers queries.
pub(super) struct Answerer {
    pub(super) config: Config,
    pub(super) pools: Pools,
    /// Where this server is, as far as it is said.
    pub(super) own: Vec<SocketAddr>,
    pub(super) counters: Counters,
}

/// How an answer goes out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// Over UDP: at most so many octets, if the client takes them.
    Udp(usize),
    /// Over UDP to a client that has had enough: nothing but that it may come over TCP.
    Refusal,
    /// Over TCP.
    Tcp,
}

/// The records of an answer.
#[derive(Default)]
struct Sections {
    answers: Vec<Record>,
    additionals: Vec<Record>,
}

/// What there is at a name.
enum Node {
    /// These records, of this type; none is NODATA.
    Records(Sections),
    /// No such name.
    NoName,
    /// It cannot be said.
    Failed(ResponseCode),
}

impl Answerer {
    /// The answer to what came, in octets. `None`: it is no query, and what answers answers would
    /// never end.
    pub(super) async fn answer(&self, octets: &[u8], way: Way) -> Option<Vec<u8>> {
        let header: &[u8; HEADER] = octets.first_chunk()?;
        let [id_high, id_low, flags, ..] = *header;
        let id = u16::from_be_bytes([id_high, id_low]);
        let op_code = OpCode::from_u8((flags >> 3) & 0xf);
        if flags & 0x80 != 0 {
            return None;
        }
        self.counters.count(Count::Queries);
        let counts: [u16; 4] =
            [4, 6, 8, 10].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
        let mut reply = Message::response(id, op_code);
        reply.metadata.recursion_desired = flags & 1 != 0;
        let is_query = matches!(counts, [1, 0, 0, ..=ADDITIONALS_MAX]);
        reply.metadata.response_code = match Message::from_vec(octets) {
            _ if op_code != OpCode::Query => ResponseCode::NotImp,
            Ok(query) if is_query && query.metadata.message_type == MessageType::Query => {
                return self.answer_query(&query, reply, way).await;
            }
            Ok(_) | Err(_) => ResponseCode::FormErr,
        };
        self.counters.count(Count::Malformed);
        reply.to_vec().ok()
    }

    async fn answer_query(&self, query: &Message, mut reply: Message, way: Way) -> Option<Vec<u8>> {
        let [question] = &*query.queries else { return None };
        reply.queries = vec![question.clone()];
        let mut limit = match way {
            Way::Udp(_) | Way::Refusal => UDP_OCTETS_MIN,
            Way::Tcp => TCP_OCTETS_MAX,
        };
        if let Some(asked) = &query.edns {
            let mut edns = Edns::new();
            let own = self.config.udp_octets_max.clamp(UDP_OCTETS_MIN, TCP_OCTETS_MAX);
            edns.set_max_payload(u16::try_from(own).unwrap_or(u16::MAX));
            reply.set_edns(edns);
            if let Way::Udp(most) = way {
                limit = usize::from(asked.max_payload()).clamp(UDP_OCTETS_MIN, most.max(limit));
            }
            if asked.version() > 0 {
                self.counters.count(Count::Refused);
                reply.metadata.response_code = ResponseCode::BADVERS;
                return reply.to_vec().ok();
            }
        }
        if way == Way::Refusal {
            self.counters.count(Count::Limited);
            reply.metadata.truncation = true;
            return reply.to_vec().ok();
        }
        self.fill(question, &mut reply).await;
        self.fit(reply, limit)
    }

    /// What is asked for, or why it is not told.
    async fn fill(&self, question: &Query, reply: &mut Message) {
        let is_transfer = matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR);
        let asked = self.config.zone.asked(question.name());
        let Some(asked) = asked.filter(|_| question.query_class() == DNSClass::IN && !is_transfer)
        else {
            self.counters.count(Count::Refused);
            reply.metadata.response_code = ResponseCode::Refused;
            return;
        };
        reply.metadata.authoritative = true;
        match self.look_up(asked, question).await {
            Node::Records(sections) => {
                if sections.answers.is_empty() {
                    reply.add_authority(self.soa());
                }
                reply.add_answers(sections.answers);
                reply.add_additionals(sections.additionals);
            }
            Node::NoName => {
                self.counters.count(Count::NoName);
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(self.soa());
            }
            Node::Failed(code) => {
                self.counters.count(Count::Failed);
                reply.metadata.authoritative = false;
                reply.metadata.response_code = code;
            }
        }
    }

    async fn look_up(&self, asked: Asked, question: &Query) -> Node {
        let (owner, kind) = (question.name(), question.query_type());
        let (name, of) = match asked {
            Asked::Apex => return Node::Records(self.apex(owner, kind)),
            Asked::Between => return Node::Records(Sections::default()),
            Asked::Nothing => return Node::NoName,
            Asked::Pool(name) => (name, Of::Pool),
            Asked::Service(name, protocol) => (name, Of::Service(protocol)),
            Asked::Element(name, id) => (name, Of::Element(id)),
            Asked::Elements(name) => (name, Of::Between),
        };
        let pool = match self.find(&name).await {
            Ok(pool) => pool,
            Err(node) => return node,
        };
        let sections = match of {
            Of::Pool => self.of_pool(owner, kind, &pool).await,
            Of::Service(protocol) => self.of_service(owner, kind, &pool, Some(protocol)),
            Of::Between => Sections::default(),
            Of::Element(id) => match pool.elements.iter().find(|element| element.id == id) {
                Some(element) => self.of_element(owner, kind, element),
                None => return Node::NoName,
            },
        };
        Node::Records(sections)
    }

    async fn find(&self, name: &PoolName) -> Result<std::sync::Arc<Resolution>, Node> {
        match self.pools.find(name).await {
            Found::Pool(pool) => Ok(pool),
            Found::Nothing => Err(Node::NoName),
            Found::Several => Err(Node::Failed(ResponseCode::Refused)),
            Found::Unknown => Err(Node::Failed(ResponseCode::ServFail)),
        }
    }

    fn apex(&self, owner: &Name, kind: RecordType) -> Sections {
        let ttl = self.ttl();
        let answers = match kind {
            RecordType::SOA | RecordType::ANY => vec![self.soa()],
            RecordType::NS => {
                let data = RData::NS(NS(self.config.zone.name().clone()));
                vec![Record::from_rdata(owner.clone(), ttl, data)]
            }
            RecordType::A | RecordType::AAAA => {
                let own = self.own.iter().map(SocketAddr::ip);
                own.filter_map(|ip| records::address(owner, ttl, ip, Some(kind))).collect()
            }
            _ => Vec::new(),
        };
        Sections { answers, additionals: Vec::new() }
    }

    async fn of_pool(
        &self,
        owner: &Name,
        kind: RecordType,
        pool: &std::sync::Arc<Resolution>,
    ) -> Sections {
        let ttl = self.ttl();
        let answers = match kind {
            RecordType::A | RecordType::AAAA => {
                let most = self.config.items.clamp(1, Config::ITEMS_MAX);
                records::choice(owner, ttl, &self.pools.choice(pool).await, kind, most)
            }
            RecordType::TXT => vec![records::pool_text(owner, ttl, pool)],
            _ => return self.of_service(owner, kind, pool, None),
        };
        Sections { answers, additionals: Vec::new() }
    }

    /// SRV records, also for who asks for any.
    fn of_service(
        &self,
        owner: &Name,
        kind: RecordType,
        pool: &Resolution,
        protocol: Option<Protocol>,
    ) -> Sections {
        if !matches!(kind, RecordType::SRV | RecordType::ANY) {
            return Sections::default();
        }
        let servers = records::servers(&pool.elements, protocol, self.config.order);
        let (answers, additionals) = self.config.zone.srv(owner, self.ttl(), pool, &servers);
        Sections { answers, additionals }
    }

    fn of_element(&self, owner: &Name, kind: RecordType, element: &Element) -> Sections {
        let ttl = self.ttl();
        let answers = match kind {
            RecordType::A | RecordType::AAAA => records::addresses(owner, ttl, element, Some(kind)),
            RecordType::TXT => vec![records::element_text(owner, ttl, element)],
            RecordType::ANY => records::addresses(owner, ttl, element, None),
            _ => Vec::new(),
        };
        Sections { answers, additionals: Vec::new() }
    }

    fn soa(&self) -> Record {
        /// There are no copies of this zone: nobody reads these.
        const REFRESH: (i32, i32, i32) = (60, 10, 3600);
        let zone = self.config.zone.name();
        let person = zone.prepend_label("hostmaster").unwrap_or_else(|_| zone.clone());
        let (refresh, retry, expire) = REFRESH;
        let serial = self.pools.serial();
        let data = SOA::new(zone.clone(), person, serial, refresh, retry, expire, 1);
        Record::from_rdata(zone.clone(), self.ttl(), RData::SOA(data))
    }

    fn ttl(&self) -> u32 {
        let seconds = self.config.ttl.min(Config::TTL_MAX).as_secs();
        u32::try_from(seconds).unwrap_or_default()
    }

    /// The octets, of which there are not too many: additional records go first, then the TC bit says
    /// that it is not all, and as many whole records go out as fit.
    fn fit(&self, mut reply: Message, limit: usize) -> Option<Vec<u8>> {
        let fits = |reply: &Message| reply.to_vec().ok().filter(|octets| octets.len() <= limit);
        if let Some(octets) = fits(&reply) {
            return Some(octets);
        }
        reply.additionals.clear();
        if let Some(octets) = fits(&reply) {
            return Some(octets);
        }
        self.counters.count(Count::Truncated);
        reply.metadata.truncation = true;
        let all = std::mem::take(&mut reply.answers);
        // Each record adds to the length: the most that fit are found by halves.
        let (mut least, mut most) = (0, all.len());
        while least < most {
            let middle = (least + most).div_ceil(2);
            reply.answers = all[..middle].to_vec();
            match fits(&reply) {
                Some(_) => least = middle,
                None => most = middle - 1,
            }
        }
        reply.answers = all[..least].to_vec();
        fits(&reply)
    }
}

/// What of a pool is asked for.
enum Of {
    Pool,
    Service(Protocol),
    Element(rserpool::PeId),
    Between,
}
