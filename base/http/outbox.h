// What a connection still has to write: bytes and events that are ready together leave as one write (for a
// chunked stream as one chunk). Counts the units of events whose last byte was written. Pure, no I/O; the
// connection's thread only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/http/limits.h"

namespace quire::http {

class Outbox {
 public:
  explicit Outbox(const HttpLimits& limits) : limits_(limits) {}

  // A reply's head, or a whole body. Not between the frames of a stream.
  void AppendRaw(std::string_view bytes);
  // Frames that follow are chunks (HTTP/1.1) or plain bytes up to the connection's end (1.0).
  void StartFrames(bool chunked) { chunked_ = chunked; }
  void AppendFrame(std::string_view frame, uint32_t units);
  // The last chunk.
  void EndFrames();

  // The bytes to write next; empty where there are none. Valid until the next call of this class.
  std::string_view Front();
  // `count` bytes of Front() were written.
  void Consume(size_t count);

  bool empty() const { return batch_done() && pending_.bytes.empty(); }
  // Nothing of the batch that Front() began remains.
  bool batch_done() const { return written_ == writing_.bytes.size(); }
  bool over_bounds() const;
  size_t queued_bytes() const { return writing_.bytes.size() - written_ + pending_.bytes.size(); }
  uint64_t delivered_units() const { return delivered_units_; }

 private:
  struct FrameEnd {
    size_t offset;  // in the batch's bytes
    uint32_t units;
  };
  struct Batch {
    std::string bytes;
    std::vector<FrameEnd> frames;
    size_t begin = 0;                     // bytes before it are unused room
    size_t chunk_at = std::string::npos;  // where room was left for the open chunk's size line
  };

  // Gives the pending batch's open chunk, if any, its size line and end.
  void CloseChunk();
  // Turns the pending batch into the one being written.
  void Seal();

  const HttpLimits& limits_;
  bool chunked_ = false;
  Batch writing_, pending_;
  size_t written_ = 0;         // bytes of writing_
  size_t frames_written_ = 0;  // frames of writing_
  uint64_t delivered_units_ = 0;
};

}  // namespace quire::http
