#include "tests/simulation/world.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace quire::simulation {
namespace {

constexpr int64_t kFaultsUntilUs = 40 * kSecond;
constexpr int64_t kClientsUntilUs = 35 * kSecond;
constexpr int64_t kEndUs = kFaultsUntilUs + 6 * kReapAfterUs;  // the longest pause, the reaper, and some
constexpr uint64_t kMaxEvents = 2'000'000;

const char* const kAccounts[] = {"rich", "poor"};
const char* const kKeys[] = {"rich-1", "rich-2", "poor-1"};

std::string AccountOf(const std::string& key) { return key.substr(0, 4); }

coordinator::KeyRow KeyOf(const std::string& id) {
  coordinator::KeyRow key;
  key.id = id;
  key.hmac = std::string(32, 'h');
  key.account = AccountOf(id);
  return key;
}

// Mostly short, now and then longer than the reaper waits.
int64_t OutageUs(Random& random) {
  return random.Percent(20) ? random.In(kStopAfterUs, 2 * kReapAfterUs) : random.In(50 * kMs, 2 * kSecond);
}

}  // namespace

World::World(uint64_t seed, std::string sqlite_path) : cluster(seed), sqlite_path_(std::move(sqlite_path)) {
  for (int i = 0; i < 3 * kPairs; ++i) cluster.AddNode();
  for (int i = 0; i < kPairs; ++i) {
    gateways_[i] = std::make_unique<SimGateway>(this, gateway_node(i));
    workers_[i] = std::make_unique<SimWorker>(this, worker_node(i));
    coordinators_[i] = std::make_unique<SimCoordinator>(this, coordinator_node(i));
  }
  SetUpBooks();
  Elect();
  ScheduleClients();
  ScheduleOperator();
  ScheduleFaults();
}

World::~World() {
  coordinators_ = {};
  if (sqlite_path_.empty()) return;
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(sqlite_path_ + end);
}

void World::SetUpBooks() {
  coordinators_[0]->TakeOver();
  coordinator::Ledger* ledger = coordinators_[0]->Post();
  // The rich are never refused; the poor can't pay for all that they ask.
  ledger->PutAccount(kAccounts[0], std::nullopt, [](auto) {});
  ledger->PutAccount(kAccounts[1], cluster.random.In(10'000, 60'000), [](auto) {});
  for (const char* key : kKeys) ledger->CreateKey(KeyOf(key), [](auto) {});
  ledger->SetPrice("m", {.version = 0, .prompt = 75, .cached_prompt = 25, .completion = 150}, [](auto) {});
}

// ---- what happens to it ----

void World::ScheduleClients() {
  for (int64_t at = 10 * kMs; at < kClientsUntilUs; at += cluster.random.In(50 * kMs, 2 * kSecond)) {
    cluster.At(at, [this] { OpenOne(); });
  }
}

void World::OpenOne() {
  Random& random = cluster.random;
  const int target = static_cast<int>(random.In(0, kPairs - 1));
  ClientRequest request;
  request.key_id = kKeys[random.In(0, 2)];
  request.prompt_tokens = static_cast<uint64_t>(random.In(1, 30));
  request.max_tokens = static_cast<uint64_t>(random.In(1, 80));
  const int64_t choices = random.Percent(25) ? random.In(2, 3) : 1;
  for (int64_t i = 0; i < choices; ++i) {
    request.length.push_back(static_cast<uint64_t>(random.In(1, static_cast<int64_t>(request.max_tokens))));
  }
  request.streamed = random.Percent(75);
  if (random.Percent(20)) request.leaves_after_us = random.In(0, 4 * kSecond);
  RequestId id;
  for (uint8_t& byte : id.bytes) byte = static_cast<uint8_t>(random.Next());
  if (id.bytes[0] % 8 == 0) {  // its prompt's echo alone: a position for each choice, which is no token
    request.max_tokens = 0;
    request.length.assign(request.length.size(), 1);
  }
  if (!Works(gateway_node(target))) return;
  ++requests_;
  gateways_[target]->Open(id, request);
}

void World::ScheduleOperator() {
  for (int64_t at = kSecond; at < kClientsUntilUs; at += cluster.random.In(1 * kSecond, 6 * kSecond)) {
    cluster.At(at, [this] { OperateOnce(); });
  }
}

void World::OperateOnce() {
  Random& random = cluster.random;
  const int asked = static_cast<int>(random.In(0, kPairs - 1));
  coordinator::Ledger* ledger = Works(coordinator_node(asked)) ? coordinators_[asked]->Post() : nullptr;
  if (ledger == nullptr) return;
  switch (random.In(0, 5)) {
    case 4:
      return Credit(*ledger);
    case 5:
      return Reverse(*ledger);
    case 0:
      return ledger->SetPrice("m",
                              {.version = 0,
                               .prompt = random.In(50, 100),
                               .cached_prompt = random.In(10, 50),
                               .completion = random.In(100, 200)},
                              [](auto) {});
    case 1:
    case 2:
      return ledger->PutAccount(kAccounts[1], random.In(5'000, 120'000), [](auto) {});
    default:  // a key is revoked now and then; the third stands for all that stay
      return ledger->RevokeKey(kKeys[random.In(1, 2)], 1 + cluster.now_us() / kMs, [](auto) {});
  }
}

// Of a few references, which come again.
void World::Credit(coordinator::Ledger& ledger) {
  const int64_t number = cluster.random.In(0, 9);
  const std::string reference = absl::StrCat("payment ", number);
  ledger.Credit({kAccounts[1], reference, 2'000 * (number + 1), reference},
                [this](const absl::StatusOr<coordinator::EntryRow>& entry) {
                  if (entry.ok()) checker.Posted(*entry);
                });
}

void World::Reverse(coordinator::Ledger& ledger) {
  if (disk.entries().empty()) return;
  const auto last = static_cast<int64_t>(disk.entries().size()) - 1;
  const auto entry = std::next(disk.entries().begin(), cluster.random.In(0, last));
  ledger.Reverse(entry->first, "", [this](const absl::StatusOr<coordinator::EntryRow>& reversal) {
    if (reversal.ok()) checker.Posted(*reversal);
  });
}

// ---- faults ----

void World::ScheduleFaults() {
  for (int64_t at = 200 * kMs; at < kFaultsUntilUs; at += cluster.random.In(200 * kMs, 4 * kSecond)) {
    cluster.At(at, [this] { FaultOnce(); });
  }
  cluster.At(kFaultsUntilUs, [this] {
    calm_ = true;
    cluster.CalmDown();
    disk.set_unreachable(false);
    disk.FailNextCommits(coordinator::CommitFault::kNone);
    for (int node = 0; node < 3 * kPairs; ++node) {
      if (!cluster.IsUp(node)) StartNode(node);
    }
  });
}

void World::FaultOnce() {
  Random& random = cluster.random;
  const int node = static_cast<int>(random.In(0, 3 * kPairs - 1));
  ++faults_;
  switch (random.In(0, 11)) {
    case 0:
    case 1:
      return KillNode(node);
    case 2:
      return cluster.Pause(node, random.In(50 * kMs, 2 * kSecond));
    case 3:  // long enough to be stopped, or reaped
      return cluster.Pause(node, random.In(kStopAfterUs, 2 * kReapAfterUs));
    case 4:
    case 5:
      return CutSomething();
    case 6:
      return disk.FailNextCommit(random.Percent(50) ? coordinator::CommitFault::kDiskFull
                                                    : coordinator::CommitFault::kUnknown);
    case 7:
      disk.set_unreachable(true);
      return cluster.At(cluster.now_us() + OutageUs(random), [this] { disk.set_unreachable(false); });
    case 8:
      return cluster.set_network({.lost_percent = random.Percent(50) ? random.In(0, 20) : 0,
                                  .doubled_percent = random.In(0, 20),
                                  .max_delay_us = random.In(1 * kMs, 60 * kMs)});
    case 9:
      return FillDisk();
    case 10:  // a wall clock is set, by hours even
      return cluster.JumpWall(node, random.In(-7200, 7200) * kSecond);
    default: {
      const int usurper = static_cast<int>(random.In(0, kPairs - 1));
      if (Works(coordinator_node(usurper))) coordinators_[usurper]->TakeOver();
      return;
    }
  }
}

// Until somebody makes room.
void World::FillDisk() {
  disk.FailNextCommits(coordinator::CommitFault::kDiskFull);
  cluster.At(cluster.now_us() + OutageUs(cluster.random),
             [this] { disk.FailNextCommits(coordinator::CommitFault::kNone); });
}

void World::CutSomething() {
  Random& random = cluster.random;
  const int a = static_cast<int>(random.In(0, 3 * kPairs - 1));
  const bool alone = random.Percent(50);  // cut off from all, or one wire
  const int64_t until = cluster.now_us() + (random.Percent(20) ? random.In(kStopAfterUs, 2 * kReapAfterUs)
                                                               : random.In(100 * kMs, kStopAfterUs));
  for (int b = 0; b < 3 * kPairs; ++b) {
    if (b == a || (!alone && b != (a + 2) % (3 * kPairs))) continue;
    cluster.Cut(a, b);
    cluster.At(until, [this, a, b] { cluster.Heal(a, b); });
  }
}

void World::KillNode(int node) {
  if (!cluster.IsUp(node)) return;
  cluster.Kill(node);
  if (node < kPairs) {
    gateways_[node]->Die();
    gateways_[node].reset();
  } else if (node < 2 * kPairs) {
    workers_[node - kPairs].reset();
  } else {
    coordinators_[node - 2 * kPairs].reset();
  }
  cluster.At(cluster.now_us() + cluster.random.In(50 * kMs, 3 * kSecond), [this, node] {
    if (!cluster.IsUp(node)) StartNode(node);
  });
}

void World::StartNode(int node) {
  cluster.Start(node);
  if (node < kPairs) {
    gateways_[node] = std::make_unique<SimGateway>(this, node);
  } else if (node < 2 * kPairs) {
    workers_[node - kPairs] = std::make_unique<SimWorker>(this, node);
  } else {
    coordinators_[node - 2 * kPairs] = std::make_unique<SimCoordinator>(this, node);
  }
}

// Every now and then somebody looks whether anybody leads, as a lease would.
void World::Elect() {
  bool led = false;
  for (int i = 0; i < kPairs; ++i) led = led || (Works(coordinator_node(i)) && coordinators_[i]->leads());
  const int candidate = static_cast<int>(cluster.random.In(0, kPairs - 1));
  if (!led && Works(coordinator_node(candidate))) coordinators_[candidate]->TakeOver();
  cluster.At(cluster.now_us() + cluster.random.In(200 * kMs, 800 * kMs), [this] { Elect(); });
}

// ---- the run ----

bool World::Settled() const {
  const bool drained = std::all_of(gateways_.begin(), gateways_.end(), [](const auto& gateway) {
    return gateway != nullptr && gateway->Drained();
  });
  return drained && checker.AllClosed();
}

Outcome World::Run() {
  Outcome outcome;
  while (!checker.violation() && cluster.now_us() < kEndUs && cluster.Step()) {
    if (++outcome.events > kMaxEvents) checker.Violate("the run does not come to rest");
    if (calm_ && outcome.events % 64 == 0 && Settled()) break;
  }
  if (!checker.violation() && !Settled())
    checker.Violate("somebody is stuck: not all is settled long after the faults");
  if (!checker.violation()) checker.AtTheEnd();
  outcome.violation = checker.violation();
  outcome.messages = cluster.messages;
  outcome.messages_lost = cluster.messages_lost;
  outcome.faults = faults_;
  outcome.requests = requests_;
  outcome.entries = disk.entries().size();
  outcome.forgotten = checker.forgotten();
  for (const auto& [id, row] : disk.requests()) outcome.reaped += row.reason == v1::SETTLE_REAPED;
  for (const auto& [id, row] : disk.requests()) outcome.stopped += row.reason == v1::SETTLE_STOPPED;
  return outcome;
}

}  // namespace quire::simulation
