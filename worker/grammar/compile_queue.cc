#include "worker/grammar/compile_queue.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quire::worker {
namespace {

// Beside the key, of one that is kept.
constexpr size_t kEntryBytes = 512;

// Its own fault, which another group would find again, or the group's.
absl::Status TooSlow(bool begun, std::chrono::milliseconds limit) {
  if (begun) {
    return absl::InvalidArgumentError(
        absl::StrCat("grammar: it was not compiled within ", limit.count(), " ms: simplify it"));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("grammar: others were compiled for all of ", limit.count(), " ms: try it again later"));
}

}  // namespace

CompileQueue::CompileQueue(std::shared_ptr<const GrammarCompiler> compiler, int64_t vocab,
                           CompileLimits limits, Metrics& metrics)
    : compiler_(std::move(compiler)),
      vocab_(vocab),
      limits_(limits),
      compiles_(metrics.Counter("quire_worker_grammar_compiles_total",
                                "Grammars that were compiled, or failed to")),
      hits_(metrics.Counter("quire_worker_grammar_hits_total",
                            "Requests whose grammar was kept, or was being compiled")),
      failures_(
          metrics.Counter("quire_worker_grammar_failures_total", "Grammars that could not be compiled")),
      timeouts_(metrics.Counter(
          "quire_worker_grammar_timeouts_total",
          "Requests refused because their grammar was not compiled in time, or too many waited")),
      seconds_(metrics.Histogram("quire_worker_grammar_compile_seconds", "How long a grammar took to compile",
                                 {0.001, 0.01, 0.1, 1, 10, 60})),
      kept_bytes_(
          metrics.Gauge("quire_worker_grammar_cache_bytes", "Bytes of compiled grammars that are kept")) {
  for (int i = 0; i < limits_.threads; ++i) threads_.emplace_back([this] { RunCompiler(); });
  threads_.emplace_back([this] { RunTimer(); });
}

CompileQueue::~CompileQueue() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    queue_.clear();
  }
  for (std::thread& thread : threads_) thread.join();
  std::vector<Done> left;
  {
    MutexLock lock(&mutex_);
    for (auto& [key, job] : jobs_) {
      for (Done& done : TakeAll(job)) left.push_back(std::move(done));
    }
  }
  for (const Done& done : left) done(absl::AbortedError("the worker is stopping: ask for another placement"));
}

void CompileQueue::Compile(const std::string& kind, const std::string& source, const Asker& asker,
                           Done done) {
  const std::string key = absl::StrCat(kind.size(), " ", kind, source);
  std::optional<Result> result;
  {
    MutexLock lock(&mutex_);
    if (const Result* kept = Find(key)) {
      hits_.Increment();
      result = *kept;
    } else if (const absl::Status queued = Enqueue(key, kind, source, asker, done); !queued.ok()) {
      timeouts_.Increment();
      result = queued;
    }
  }
  if (result) done(*std::move(result));
}

const CompileQueue::Result* CompileQueue::Find(const std::string& key) {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, it->second);
  return &it->second->result;
}

absl::Status CompileQueue::Enqueue(const std::string& key, const std::string& kind, const std::string& source,
                                   const Asker& asker, Done& done) {
  if (IsFull(key)) DropUnwanted();
  if (stopping_ || IsFull(key)) {
    return absl::ResourceExhaustedError("grammar: too many wait to be compiled: try it again later");
  }
  if (jobs_.contains(key)) {
    hits_.Increment();
  } else {
    queue_.push_back(key);
  }
  auto waiter = std::make_shared<Waiter>();
  waiter->until = std::chrono::steady_clock::now() + limits_.wait;
  waiter->done = std::move(done);
  waiter->asker = asker;
  Job& mine = jobs_[key];
  waiter->begun = mine.begun;
  mine.kind = kind;
  mine.source = source;
  mine.waiters.push_back(waiter);
  while (!timeline_.empty() && timeline_.front()->done == nullptr) timeline_.pop_front();
  timeline_.push_back(std::move(waiter));
  ++waiting_;
  return absl::OkStatus();
}

bool CompileQueue::IsFull(const std::string& key) const {
  return waiting_ >= limits_.max_waiting ||
         (!jobs_.contains(key) && std::ssize(queue_) >= limits_.max_queued);
}

void CompileQueue::DropUnwanted() {
  for (const auto& waiter : timeline_) {
    if (waiter->asker.expired()) Take(*waiter);
  }
  std::erase_if(queue_, [this](const std::string& key) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return !jobs_.at(key).wanted() && jobs_.erase(key) > 0;
  });
}

CompileQueue::Done CompileQueue::Take(Waiter& waiter) {
  if (waiter.done != nullptr) --waiting_;
  return std::exchange(waiter.done, nullptr);
}

std::vector<CompileQueue::Done> CompileQueue::TakeAll(Job& job) {
  std::vector<Done> all;
  for (const auto& waiter : job.waiters) {
    if (Done done = Take(*waiter)) all.push_back(std::move(done));
  }
  return all;
}

void CompileQueue::RunCompiler() {
  while (true) {
    std::string key;
    Job job;
    {
      MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &CompileQueue::HasWork));
      if (stopping_) return;
      key = std::move(queue_.front());
      queue_.pop_front();
      Job& mine = jobs_[key];
      if (!mine.wanted()) {
        TakeAll(mine);
        jobs_.erase(key);
        continue;
      }
      mine.begun = true;
      for (const auto& waiter : mine.waiters) waiter->begun = true;
      job = {mine.kind, mine.source, {}};
    }
    const Result result = Run(job);
    std::vector<Done> waiting;
    {
      MutexLock lock(&mutex_);
      waiting = TakeAll(jobs_[key]);
      jobs_.erase(key);
      Keep(key, result);
    }
    for (const Done& done : waiting) done(result);
  }
}

CompileQueue::Result CompileQueue::Run(const Job& job) {
  const Time started = std::chrono::steady_clock::now();
  Result result = compiler_->Compile(job.kind, job.source, vocab_);
  seconds_.Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  compiles_.Increment();
  if (!result.ok()) failures_.Increment();
  return result;
}

// What is refused is kept, too: it may have taken as long.
void CompileQueue::Keep(const std::string& key, const Result& result) {
  const size_t bytes = (result.ok() ? (*result)->bytes() : 0) + 2 * key.size() + kEntryBytes;
  if (bytes > limits_.cache_bytes) return;
  kept_.push_front({key, result, bytes});
  by_key_[key] = kept_.begin();
  for (bytes_ += bytes; bytes_ > limits_.cache_bytes; kept_.pop_back()) {
    bytes_ -= kept_.back().bytes;
    by_key_.erase(kept_.back().key);
  }
  kept_bytes_.Set(static_cast<double>(bytes_));
}

void CompileQueue::RunTimer() {
  while (true) {
    std::vector<std::pair<Done, bool>> late;
    {
      MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &CompileQueue::HasWaiters));
      if (stopping_) return;
      const auto left = timeline_.front()->until - std::chrono::steady_clock::now();
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), absl::FromChrono(left));
      const Time now = std::chrono::steady_clock::now();
      while (!timeline_.empty() && (timeline_.front()->done == nullptr || timeline_.front()->until <= now)) {
        const bool begun = timeline_.front()->begun;
        if (Done done = Take(*timeline_.front())) late.emplace_back(std::move(done), begun);
        timeline_.pop_front();
      }
      timeouts_.Increment(static_cast<double>(late.size()));
    }
    for (const auto& [done, begun] : late) done(TooSlow(begun, limits_.wait));
  }
}

}  // namespace quire::worker
