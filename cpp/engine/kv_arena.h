// The memory of keys and values: blocks of 16 tokens, each with all layers and key-value heads of its tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/huge_array.h"
#include "engine/kv_layout.h"

namespace textmill::engine {

class KvArena {
  public:
    KvArena(KvLayout layout, size_t num_layers, size_t num_heads, size_t num_blocks)
        : layout_(layout),
          head_bytes_((layout.head_bytes() + 63) / 64 * 64),
          layer_bytes_(head_bytes_ * num_heads),
          block_bytes_(layer_bytes_ * num_layers),
          num_blocks_(num_blocks),
          bytes_(block_bytes_ * num_blocks) {}

    const KvLayout& layout() const { return layout_; }
    size_t num_blocks() const { return num_blocks_; }
    size_t block_bytes() const { return block_bytes_; }
    uint8_t* head(size_t block, size_t layer, size_t head) {
        return bytes_.data() + block * block_bytes_ + layer * layer_bytes_ + head * head_bytes_;
    }
    // A text that parts from another within a block goes on from a copy of it.
    void copy(size_t source, size_t target) {
        if (source != target) {
            std::memcpy(head(target, 0, 0), head(source, 0, 0), block_bytes_);
        }
    }

  private:
    KvLayout layout_;
    size_t head_bytes_;
    size_t layer_bytes_;
    size_t block_bytes_;
    size_t num_blocks_;
    HugeArray<uint8_t> bytes_;
};

}  // namespace textmill::engine
