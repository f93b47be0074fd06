// The one loop that every answer goes through: what its generations have to say, in a door's words, into a
// sink.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>

#include "base/http/request_record.h"
#include "gateway/api/pipeline/answer_writer.h"
#include "gateway/api/pipeline/sink.h"
#include "gateway/generation/generations.h"

namespace quire::gateway {

// What is left of a choice's echo (AnswerWriter::SayEcho), while the thread's other work goes on. False: the
// client has left.
boost::asio::awaitable<bool> SayRestOfEcho(AnswerWriter& writer, uint32_t choice, uint32_t positions,
                                           Sink& sink);

// Returns when all was said or the client has left; what it took has then been counted.
boost::asio::awaitable<void> Answer(Generations& generations, AnswerWriter& writer, Sink& sink,
                                    http::RequestRecord& record);

}  // namespace quire::gateway
