//! Clients that want the registrar's time for themselves.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::client::{Client, REGISTRAR, registrar};
use super::octets::{
    ECHO_POOL, ROUND_ROBIN, TCP_7, deregistered, deregistration, element, handle, hex, message,
    registered, registration, resolution, resolved, simple_element, unknown_pool,
};

/// Numbers without order, the same ones each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_be_bytes()[3]
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next()).collect()
    }

    /// A message of a known type with nonsense inside.
    fn message(&mut self) -> Vec<u8> {
        let words = usize::from(self.next() % 32);
        let inside = self.octets(4 * words);
        message(self.next() % 16, self.next(), &[&inside])
    }

    /// A good message with one octet that is not.
    fn mutation(&mut self, of: &[u8]) -> Vec<u8> {
        let mut octets = of.to_vec();
        // The header stays, or the stream would end here.
        let at = 4 + usize::from(self.next()) % (octets.len() - 4);
        octets[at] = self.next();
        octets
    }
}

/// The ordinary life of an element, a hundred times, while `others` keep the registrar busy.
fn life_goes_on(registrar: &str, others: &[&(dyn Fn(&AtomicBool) + Sync)]) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for other in others {
            scope.spawn(|| other(&over));
        }
        let mut client = Client::at(registrar);
        let pool = handle(b"business as usual");
        let (transport, round_robin) = (hex(TCP_7), hex(ROUND_ROBIN));
        for id in 1..=100 {
            client.asks(&registration(&pool, &simple_element(id, 7)), &registered(&pool, id));
            let listed = element(id, REGISTRAR, 300, &[&transport, &round_robin]);
            client.asks(&resolution(&pool), &resolved(&pool, &round_robin, &[listed]));
            client.asks(&deregistration(&pool, id), &deregistered(&pool, id));
            client.asks(&resolution(&pool), &unknown_pool(&pool));
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn garbage_stops_nobody() {
    let process = registrar();
    let registrar = process.tcp();
    let noise = |over: &AtomicBool| {
        let mut noise = Noise(1);
        while !over.load(Ordering::Relaxed) {
            // Sooner or later this has a length that makes no sense, and the connection ends.
            Client::at(registrar).say_in_vain(&noise.octets(4096));
        }
    };
    let nonsense = |over: &AtomicBool| {
        let mut noise = Noise(2);
        while !over.load(Ordering::Relaxed) {
            let mut client = Client::at(registrar);
            for _ in 0..100 {
                client.say(&noise.message());
            }
            client.hush();
            while client.message().is_some() {}
        }
    };
    let mutations = |over: &AtomicBool| {
        let mut noise = Noise(3);
        let pool = hex(ECHO_POOL);
        let good = [
            registration(&pool, &simple_element(1, 7)),
            deregistration(&pool, 1),
            resolution(&pool),
        ];
        while !over.load(Ordering::Relaxed) {
            let mut client = Client::at(registrar);
            for message in good.iter().cycle().take(100) {
                client.say(&noise.mutation(message));
            }
            client.hush();
            while client.message().is_some() {}
        }
    };
    let to = process.url("sctp+udp").strip_prefix("sctp+udp://").unwrap();
    let datagrams = |over: &AtomicBool| {
        let mut noise = Noise(4);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        while !over.load(Ordering::Relaxed) {
            let length = 16 * usize::from(noise.next());
            socket.send_to(&noise.octets(length), to).unwrap();
        }
    };
    life_goes_on(registrar, &[&noise, &nonsense, &mutations, &datagrams]);
}

#[test]
fn who_does_not_read_its_answers_stops_nobody() {
    let process = registrar();
    let registrar = process.tcp();
    let deaf = |over: &AtomicBool| {
        let requests = resolution(&handle(&[b'x'; 2000])).repeat(100);
        let mut clients: Vec<Client> = (0..20).map(|_| Client::at(registrar)).collect();
        while !over.load(Ordering::Relaxed) {
            clients.iter_mut().for_each(|client| client.stuff(&requests));
        }
    };
    life_goes_on(registrar, &[&deaf]);
}

#[test]
fn timers_run_out_however_much_there_is_to_do() {
    let process = registrar();
    let registrar = process.tcp();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // More requests than can be answered, from several at once, for as long as it takes.
        for _ in 0..3 {
            scope.spawn(|| {
                let requests = resolution(&handle(b"nowhere")).repeat(2000);
                let mut client = Client::at(registrar);
                client.say(&requests);
                while !over.load(Ordering::Relaxed) {
                    client.say(&requests);
                    for _ in 0..2000 {
                        client.message().unwrap();
                    }
                }
            });
        }
        let mut client = Client::at(registrar);
        let pool = hex(ECHO_POOL);
        let brief = element(1, 0, 2, &[&hex(TCP_7), &hex(ROUND_ROBIN)]);
        client.asks(&registration(&pool, &brief), &registered(&pool, 1));
        client.hears(&deregistered(&pool, 1));
        over.store(true, Ordering::Relaxed);
    });
}
