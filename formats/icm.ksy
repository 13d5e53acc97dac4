meta:
  id: icm
  title: Layered learned picture
  file-extension: icm
  license: Apache-2.0
  ks-version: '0.10'
  endian: le
  bit-endian: be
doc: |
  The structure of .icm files. formats/icm.md says what it means, what a reader has to check beyond
  it, and how masks and segments are coded: here they are bytes.
doc-ref: icm.md
seq:
  - id: signature
    contents: [0x89, ICM, 0x0d, 0x0a, 0x1a, 0x0a]
  - id: major
    type: u1
    valid:
      max: 1
  - id: minor
    type: u1
  - id: header
    type: chunk
    doc: Its payload is a head or a sequence; the types of the other payloads depend on it.
  - id: chunks
    type: chunk
    repeat: eos
instances:
  has_codes_1_1:
    value: major == 1 and minor >= 1
    doc: Whether names have the codes that came with version 1.1.
enums:
  mask_kind:
    0: full
    1: empty
    2: derived
    3: explicit
types:
  number:
    doc: An unsigned LEB128 varint below 2^32 in its shortest form.
    seq:
      - id: bytes
        type: u1
        repeat: until
        repeat-until: _ < 128
        valid:
          expr: _index == 0 or (_ != 0 and (_index < 4 or _ < 16))
    instances:
      value:
        value: >-
          ((bytes[0] & 127)
          + (bytes.size > 1 ? (bytes[1] & 127) * 128 : 0)
          + (bytes.size > 2 ? (bytes[2] & 127) * 16384 : 0)
          + (bytes.size > 3 ? (bytes[3] & 127) * 2097152 : 0)
          + (bytes.size > 4 ? bytes[4].as<u4> * 268435456 : 0)).as<u4>
  chunk:
    seq:
      - id: type
        type: str
        size: 4
        encoding: ASCII
      - id: place
        type: number
      - id: length
        type: number
      - id: payload
        size: length.value
        type:
          switch-on: type
          cases:
            '"HEAD"': head
            '"HYPR"': hyper
            '"LAYR"': layer
            '"iCCp"': deflated
            '"eXIf"': deflated
            '"xMPp"': deflated
            '"aLPh"': alpha
            '"SEQH"': sequence
            '"tAGs"': deflated
            '"IFRM"': intra_frame
            '"ILYR"': later_layer(true)
            '"PFRM"': inter_frame
            '"PLYR"': later_layer(false)
            '"aUDi"': audio
            '"INDX"': index
        doc: Bytes, where the type is not known.
      - id: crc
        type: u4
        doc: CRC-32 over all of the chunk before it.
  head:
    seq:
      - id: file_id
        size: 8
      - id: width
        type: number
      - id: height
        type: number
      - id: channels
        type: u1
      - id: depth
        type: u1
      - id: tile_columns
        type: number
      - id: tile_rows
        type: number
      - id: ancillary
        type: number
        doc: Ancillary chunks of the complete file.
      - id: num_groups
        type: number
      - id: groups
        type: group
        repeat: expr
        repeat-expr: num_groups.value
      - id: num_layers
        type: number
      - id: layers
        type: layer_entry
        repeat: expr
        repeat-expr: num_layers.value
    instances:
      num_tiles:
        value: tile_columns.value * tile_rows.value
  group:
    seq:
      - id: codec
        type: codec_reference
      - id: quality
        type: u2
        doc: Times 256.
      - id: skip
        type: u1
      - id: hyper_crc
        type: u4
  layer_entry:
    seq:
      - id: group
        type: number
      - id: task
        type: task_name
      - id: level
        type: u1
      - id: flags
        type: flags
      - id: mask_crc
        type: u4
        if: flags.mask == mask_kind::derived or flags.mask == mask_kind::explicit
      - id: symbols
        type: number
      - id: symbols_crc
        type: u4
      - id: predictor
        type: bundle_reference
        if: flags.mask == mask_kind::derived
      - id: adapter
        type: bundle_reference
        if: flags.adapter
  flags:
    seq:
      - id: reserved
        type: b5
        valid: 0
      - id: adapter
        type: b1
      - id: mask
        type: b2
        enum: mask_kind
  codec_reference:
    seq:
      - id: id
        type: codec_name
      - id: fingerprint
        size: 8
  bundle_reference:
    seq:
      - id: id
        type: bundle_name
      - id: fingerprint
        size: 8
  codec_name:
    seq:
      - id: code
        type: u1
        valid:
          max: '_root.has_codes_1_1 ? 7 : 4'
      - id: length
        type: u1
        valid:
          min: 1
          max: 64
        if: code == 0
      - id: name
        type: str
        size: length
        encoding: ASCII
        if: code == 0
    instances:
      value:
        value: >-
          code == 1 ? "mbt2018-mean-gain-0"
          : code == 2 ? "test-tiny"
          : code == 3 ? "mbt2018-mean"
          : code == 4 ? "bmshj2018-hyperprior"
          : code == 5 ? "mbt2018-mean-gain-1"
          : code == 6 ? "dvc-1"
          : code == 7 ? "fvc-1"
          : name
  bundle_name:
    seq:
      - id: code
        type: u1
        valid:
          max: '_root.has_codes_1_1 ? 4 : 1'
      - id: length
        type: u1
        valid:
          min: 1
          max: 64
        if: code == 0
      - id: name
        type: str
        size: length
        encoding: ASCII
        if: code == 0
    instances:
      value:
        value: >-
          code == 1 ? "det-0"
          : code == 2 ? "det-1"
          : code == 3 ? "cls-1"
          : code == 4 ? "seg-1"
          : name
  task_name:
    seq:
      - id: code
        type: u1
        valid:
          max: 4
      - id: length
        type: u1
        valid:
          min: 1
          max: 64
        if: code == 0
      - id: name
        type: str
        size: length
        encoding: ASCII
        if: code == 0
    instances:
      value:
        value: >-
          code == 1 ? "human"
          : code == 2 ? "cls"
          : code == 3 ? "det"
          : code == 4 ? "seg"
          : name
  hyper:
    seq:
      - id: group
        type: number
      - id: num_segments
        type: number
        valid:
          expr: _.value > 0
      - id: lengths
        type: number
        repeat: expr
        repeat-expr: num_segments.value - 1
      - id: segments
        size: lengths[_index].value
        repeat: expr
        repeat-expr: num_segments.value - 1
      - id: last_segment
        size-eos: true
  layer:
    seq:
      - id: layer
        type: number
      - id: tile_table
        type: tile_entry
        repeat: expr
        repeat-expr: head.num_tiles
        if: is_tiled and entry.symbols.value > 0
      - id: tiles
        type: tile(tile_table[_index].symbols.value, is_explicit and tile_table[_index].symbols.value > 0)
        size: tile_table[_index].length.value
        repeat: expr
        repeat-expr: head.num_tiles
        if: is_tiled and entry.symbols.value > 0
      - id: untiled
        type: tile(entry.symbols.value, is_explicit)
        size-eos: true
        if: not is_tiled
        doc: The only tile of a picture that is not tiled.
    instances:
      head:
        value: _root.header.payload.as<head>
      entry:
        value: head.layers[layer.value]
      is_explicit:
        value: entry.flags.mask == mask_kind::explicit
      is_tiled:
        value: head.num_tiles > 1
  tile_entry:
    seq:
      - id: symbols
        type: number
      - id: length
        type: number
      - id: crc
        type: u4
  tile:
    params:
      - id: symbols
        type: u4
      - id: has_mask
        type: bool
    seq:
      - id: mask_length
        type: number
        if: has_mask
      - id: mask
        size: mask_length.value
        if: has_mask
      - id: lengths
        type: number
        repeat: expr
        repeat-expr: num_segments - 1
        if: num_segments > 0
      - id: segments
        size: lengths[_index].value
        repeat: expr
        repeat-expr: num_segments - 1
        if: num_segments > 0
      - id: last_segment
        size-eos: true
        if: num_segments > 0
    instances:
      num_segments:
        value: (symbols + 65535) / 65536
  deflated:
    seq:
      - id: compressed
        size-eos: true
    instances:
      data:
        pos: 0
        size-eos: true
        process: zlib
  alpha:
    seq:
      - id: picture
        size-eos: true
        doc: Lossless WebP or grey PNG.
  long:
    doc: An unsigned LEB128 varint below 2^63 in its shortest form.
    seq:
      - id: bytes
        type: u1
        repeat: until
        repeat-until: _ < 128
        valid:
          expr: _index == 0 or (_ != 0 and _index < 9)
    instances:
      value:
        value: >-
          ((bytes[0] & 127).as<u8>
          + (bytes.size > 1 ? (bytes[1] & 127).as<u8> * 128 : 0)
          + (bytes.size > 2 ? (bytes[2] & 127).as<u8> * 16384 : 0)
          + (bytes.size > 3 ? (bytes[3] & 127).as<u8> * 2097152 : 0)
          + (bytes.size > 4 ? (bytes[4] & 127).as<u8> * 268435456 : 0)
          + (bytes.size > 5 ? (bytes[5] & 127).as<u8> * 34359738368 : 0)
          + (bytes.size > 6 ? (bytes[6] & 127).as<u8> * 4398046511104 : 0)
          + (bytes.size > 7 ? (bytes[7] & 127).as<u8> * 562949953421312 : 0)
          + (bytes.size > 8 ? (bytes[8] & 127).as<u8> * 72057594037927936 : 0)).as<u8>
  signed:
    seq:
      - id: zigzag
        type: long
    instances:
      value:
        value: 'zigzag.value % 2 == 0 ? zigzag.value / 2 : -(zigzag.value / 2) - 1'
  ratio:
    seq:
      - id: numerator
        type: number
      - id: denominator
        type: number
        valid:
          expr: _.value > 0
  text:
    seq:
      - id: length
        type: u1
        valid:
          min: 1
          max: 64
      - id: value
        type: str
        size: length
        encoding: ASCII
  sequence:
    seq:
      - id: sequence_id
        size: 8
      - id: width
        type: number
      - id: height
        type: number
      - id: channels
        type: u1
      - id: depth
        type: u1
      - id: turns
        type: u1
      - id: aspect
        type: ratio
      - id: primaries
        type: u1
      - id: transfer
        type: u1
      - id: matrix
        type: u1
      - id: range
        type: u1
        valid:
          max: 1
      - id: time_base
        type: ratio
      - id: rate
        type: ratio
      - id: step
        type: number
      - id: gop
        type: number
      - id: num_audio
        type: number
      - id: audio
        type: audio_stream
        repeat: expr
        repeat-expr: num_audio.value
      - id: num_latents
        type: number
      - id: latents
        type: latent
        repeat: expr
        repeat-expr: num_latents.value
      - id: intra
        type: codec_reference
      - id: inter
        type: codec_reference
        if: num_latents.value > 1
      - id: num_layers
        type: number
      - id: layers
        type: sequence_layer(num_latents.value)
        repeat: expr
        repeat-expr: num_layers.value
    instances:
      positions:
        value: ((width.value + 15) / 16) * ((height.value + 15) / 16)
      hyper_positions:
        value: ((width.value + 63) / 64) * ((height.value + 63) / 64)
  audio_stream:
    seq:
      - id: codec
        type: text
      - id: rate
        type: number
      - id: layout
        type: text
      - id: time_base
        type: ratio
      - id: len_extradata
        type: number
      - id: extradata
        size: len_extradata.value
  latent:
    seq:
      - id: channels
        type: number
      - id: hyper_channels
        type: number
      - id: quality
        type: u2
        doc: Times 256.
      - id: skip
        type: u1
  sequence_layer:
    params:
      - id: num_latents
        type: u4
    seq:
      - id: task
        type: task_name
      - id: choices
        type: choice
        repeat: expr
        repeat-expr: num_latents
  choice:
    seq:
      - id: level
        type: u1
      - id: flags
        type: flags
      - id: predictor
        type: bundle_reference
        if: flags.mask == mask_kind::derived
      - id: adapter
        type: bundle_reference
        if: flags.adapter
  frame_flags:
    seq:
      - id: count
        type: b6
      - id: qualities
        type: b1
      - id: timed
        type: b1
  intra_frame:
    seq:
      - id: flags
        type: frame_flags
      - id: frame
        type: long
      - id: time
        type: signed
      - id: qualities
        type: u2
        repeat: expr
        repeat-expr: 1
        if: flags.qualities
      - id: crc
        type: u4
      - id: hyper_latents
        type: hyper_latent(_index)
        repeat: expr
        repeat-expr: 1
      - id: layer
        type: layer_data(0, true)
  inter_frame:
    seq:
      - id: flags
        type: frame_flags
      - id: time
        type: number
        if: flags.timed
      - id: qualities
        type: u2
        repeat: expr
        repeat-expr: 2
        if: flags.qualities
      - id: crc
        type: u4
      - id: hyper_latents
        type: hyper_latent(_index + 1)
        repeat: expr
        repeat-expr: 2
      - id: layer
        type: layer_data(0, false)
  hyper_latent:
    params:
      - id: latent
        type: u4
    seq:
      - id: len_segments
        type: number
        if: num_segments > 0
      - id: segments
        type: plain_segments(num_segments)
        size: len_segments.value
        if: num_segments > 0
    instances:
      head:
        value: _root.header.payload.as<sequence>
      num_segments:
        value: (head.latents[latent].hyper_channels.value * head.hyper_positions + 65535) / 65536
  later_layer:
    params:
      - id: is_intra
        type: bool
    seq:
      - id: layer
        type: number
      - id: crc
        type: u4
      - id: data
        type: layer_data(layer.value, is_intra)
  layer_data:
    params:
      - id: layer
        type: u4
      - id: is_intra
        type: bool
    seq:
      - id: len_motion
        type: number
        if: not is_intra
      - id: motion
        type: latent_data(layer, 1)
        size: len_motion.value
        if: not is_intra
      - id: last
        type: 'latent_data(layer, is_intra ? 0 : 2)'
        size-eos: true
        doc: Of the latent `intra` in an I frame, `residual` in a P frame.
  latent_data:
    params:
      - id: layer
        type: u4
      - id: latent
        type: u4
    seq:
      - id: mask_length
        type: number
        if: mask_kind == mask_kind::explicit
      - id: mask
        size: mask_length.value
        if: mask_kind == mask_kind::explicit
      - id: num_segments
        type: number
        if: is_counted
      - id: segments
        type: 'plain_segments(is_counted ? num_segments.value : (_io.eof ? 0 : 1))'
    instances:
      head:
        value: _root.header.payload.as<sequence>
      mask_kind:
        value: head.layers[layer].choices[latent].flags.mask
      is_counted:
        value: >-
          mask_kind != mask_kind::empty
          and head.latents[latent].channels.value * head.positions > 65536
  plain_segments:
    params:
      - id: count
        type: u4
    seq:
      - id: lengths
        type: number
        repeat: expr
        repeat-expr: count - 1
        if: count > 0
      - id: segments
        size: lengths[_index].value
        repeat: expr
        repeat-expr: count - 1
        if: count > 0
      - id: last_segment
        size-eos: true
        if: count > 0
  audio:
    seq:
      - id: stream
        type: number
      - id: time
        type: signed
      - id: duration
        type: number
      - id: data
        size-eos: true
  index:
    seq:
      - id: digest
        size: 8
      - id: frames
        type: long
      - id: end
        type: signed
      - id: num_entries
        type: number
      - id: entries
        type: index_entry
        repeat: expr
        repeat-expr: num_entries.value
      - id: size
        type: u4
  index_entry:
    seq:
      - id: frame
        type: long
      - id: time
        type: signed
      - id: offset
        type: long
