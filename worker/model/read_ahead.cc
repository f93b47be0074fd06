#include "worker/model/read_ahead.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace quire::worker {

ReadAhead::ReadAhead(ReadList list, int64_t window_bytes, Advise advise)
    : list_(std::move(list)),
      window_bytes_(window_bytes),
      total_(list_.read_bytes(list_.items())),
      advise_(std::move(advise)) {
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {  // no more threads: the pages are read when they are touched
    asked_ = total_;
  }
}

ReadAhead::~ReadAhead() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void ReadAhead::OnLoaded(int64_t items) {
  MutexLock lock(&mutex_);
  next_end_ = list_.read_bytes(std::min(items + 1, list_.items()));
  limit_ = next_end_ + window_bytes_;
  mutex_.Await(absl::Condition(this, &ReadAhead::NextIsAsked));
}

std::optional<ReadAhead::Bytes> ReadAhead::NextPiece() {
  MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &ReadAhead::MayGoOn));
  return stopped_ ? std::nullopt : list_.Next();
}

void ReadAhead::Run() {
  while (const std::optional<Bytes> piece = NextPiece()) {
    advise_(*piece);
    MutexLock lock(&mutex_);
    asked_ += std::ssize(*piece);
  }
}

void ReadAhead::AdviseKernel(Bytes bytes) {
  static const auto kPage = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / kPage * kPage;
  const auto end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
  // Where it fails, the pages are read when they are touched.
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

}  // namespace quire::worker
