/* Encoders' drivers, a row each, written from their sources. What firmware
 * does behind a driver no source tells: it is marked as reported.
 *
 * bcm2835-codec  Raspberry Pi 0 to 4. raspberrypi/linux 00d3b7dcd7d8,
 *                drivers/staging/vc04_services/bcm2835-codec/bcm2835-v4l2-codec.c
 *                The raw formats are a part of what the firmware lists. Reported:
 *                STREAMON fails with 3 where the level is too low for the size.
 *                Two contexts are this table's choice: memory is the limit.
 * wave5          TI AM62A, AM62P, AM67. torvalds/linux 1b4420bdfa8b,
 *                drivers/media/platform/chips-media/wave5/wave5-vpu-enc.c, -helper.c,
 *                -vpuconfig.h. It writes what controls are set to into the sequence at
 *                STREAMON, and never again; there is no control to force a key frame;
 *                KEYFRAME is set by HEVC's NAL types, never for H.264. Of its controls
 *                a selection: what the row sets, and some of H.264 beside it.
 * venus          Qualcomm SDM845 and its like. torvalds/linux 002c22bd360e,
 *                drivers/media/platform/qcom/venus/venc.c, venc_ctrls.c, helpers.c,
 *                and hfi_platform_v4.c at 3cfe5815ce0e. NV12 alone, 128 bytes by 32
 *                lines; sizes by 16; no ENCODER_CMD and no EOS event; GOP_SIZE is the
 *                distance of I pictures, of which only the first is an IDR. Of its
 *                controls a selection, as of wave5's.
 * vsi_v4l2       NXP i.MX 8M Mini: a Hantro H1. nxp-imx/linux-imx 044b7c331fa1,
 *                18c346fa30ae, drivers/mxc/hantro_v4l2/vsi-v4l2-enc.c, -config.c, -priv.h,
 *                and vsi-v4l2.h at 27000b405000. A program beside the driver (vsidaemon)
 *                encodes, and puts a level that is too low up by itself. video_device has
 *                no name. Sizes by 4, lines of 16 bytes, packed ones of 32. Of its raw
 *                formats those of one plane without RGB; of its controls those of H.264.
 *                200 may be open, decoders among them.
 */
#include "personality.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define INTEGER(name, id, low, high, step, initial) \
  {V4L2_CID_##id, V4L2_CTRL_TYPE_INTEGER, name, low, high, step, initial, 0}
#define BOOLEAN(name, id, initial) \
  {V4L2_CID_##id, V4L2_CTRL_TYPE_BOOLEAN, name, 0, 1, 1, initial, 0}
#define MENU(name, id, high, initial, skipped) \
  {V4L2_CID_##id, V4L2_CTRL_TYPE_MENU, name, 0, high, 0, initial, skipped}
#define BUTTON(name, id) {V4L2_CID_##id, V4L2_CTRL_TYPE_BUTTON, name, 0, 0, 0, 0, 0}

/* All but baseline, constrained baseline, main and high. */
#define PROFILES_OF_FOUR                                                                   \
  ~((1ULL << V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE) |                                      \
    (1ULL << V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE) |                          \
    (1ULL << V4L2_MPEG_VIDEO_H264_PROFILE_MAIN) | (1ULL << V4L2_MPEG_VIDEO_H264_PROFILE_HIGH))

static const struct personality all[] = {
    {
        .name = "bcm2835-codec",
        .driver = "bcm2835-codec",
        .card = "bcm2835-codec-encode",
        .bus = "platform:bcm2835-codec",
        .formats = {{V4L2_PIX_FMT_YUV420, 64},
                    {V4L2_PIX_FMT_YVU420, 64},
                    {V4L2_PIX_FMT_NV12, 32},
                    {V4L2_PIX_FMT_NV21, 32},
                    {V4L2_PIX_FMT_YUYV, 64},
                    {V4L2_PIX_FMT_UYVY, 64}},
        .sizes = {32, 1920, 2, 32, 1920, 2},
        .padded_width = 2,
        .padded_height = 2,
        .chroma_lines = 1,
        .least_buffers = 1,
        .contexts = 2,
        .counted = AT_REQBUFS,
        .refusal = EINVAL,
        .has_encoder_cmd = true,
        .has_eos_event = true,
        .takes_stride = true,
        .live_bitrate = true,
        .flags_key_frames = true,
        .level_is_a_limit = true,
        .gop = V4L2_CID_MPEG_VIDEO_GOP_SIZE,
        .headers = V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER,
        .controls =
            {
                INTEGER("Video B Frames", MPEG_VIDEO_B_FRAMES, 0, 0, 1, 0),
                INTEGER("Video GOP Size", MPEG_VIDEO_GOP_SIZE, 0, INT32_MAX, 1, 60),
                MENU("Video Bitrate Mode", MPEG_VIDEO_BITRATE_MODE, 1, 0, 0),
                INTEGER("Video Bitrate", MPEG_VIDEO_BITRATE, 25000, 25000000, 25000, 10000000),
                MENU("Sequence Header Mode", MPEG_VIDEO_HEADER_MODE, 1, 1, 0),
                BOOLEAN("Repeat Sequence Header", MPEG_VIDEO_REPEAT_SEQ_HEADER, 0),
                BUTTON("Force Key Frame", MPEG_VIDEO_FORCE_KEY_FRAME),
                INTEGER("H264 Minimum QP Value", MPEG_VIDEO_H264_MIN_QP, 0, 51, 1, 20),
                INTEGER("H264 Maximum QP Value", MPEG_VIDEO_H264_MAX_QP, 0, 51, 1, 51),
                INTEGER("H264 I-Frame Period", MPEG_VIDEO_H264_I_PERIOD, 0, INT32_MAX, 1, 60),
                MENU("H264 Level", MPEG_VIDEO_H264_LEVEL, V4L2_MPEG_VIDEO_H264_LEVEL_5_1,
                     V4L2_MPEG_VIDEO_H264_LEVEL_4_0, 0),
                MENU("H264 Profile", MPEG_VIDEO_H264_PROFILE, V4L2_MPEG_VIDEO_H264_PROFILE_HIGH,
                     V4L2_MPEG_VIDEO_H264_PROFILE_HIGH, PROFILES_OF_FOUR),
            },
    },
    {
        .name = "wave5",
        .driver = "wave5-enc",
        .card = "wave5-enc",
        .bus = "platform:wave5-enc",
        .formats = {{V4L2_PIX_FMT_YUV420, 32}, {V4L2_PIX_FMT_NV12, 32}, {V4L2_PIX_FMT_NV21, 32}},
        .sizes = {256, 8192, 8, 128, 8192, 8},
        .padded_width = 32,
        .padded_height = 16,
        .chroma_lines = 1,
        .least_buffers = 1,
        .contexts = 32,
        .counted = AT_STREAMON,
        .refusal = EBUSY,
        .has_encoder_cmd = true,
        .has_eos_event = true,
        .rate_switch = V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE,
        .gop = V4L2_CID_MPEG_VIDEO_GOP_SIZE,
        .headers = V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR,
        .controls =
            {
                INTEGER("Min Number of Output Buffers", MIN_BUFFERS_FOR_OUTPUT, 1, 32, 1, 1),
                INTEGER("Video GOP Size", MPEG_VIDEO_GOP_SIZE, 0, 2047, 1, 0),
                MENU("Video Bitrate Mode", MPEG_VIDEO_BITRATE_MODE, 1, 1, 0),
                INTEGER("Video Bitrate", MPEG_VIDEO_BITRATE, 0, 700000000, 1, 0),
                BOOLEAN("Frame Level Rate Control Enable", MPEG_VIDEO_FRAME_RC_ENABLE, 0),
                INTEGER("VBV Buffer Size", MPEG_VIDEO_VBV_SIZE, 10, 3000, 1, 1000),
                BOOLEAN("H264 MB Level Rate Control", MPEG_VIDEO_MB_RC_ENABLE, 0),
                MENU("Slice Partitioning Method", MPEG_VIDEO_MULTI_SLICE_MODE, 1, 0, 0),
                BOOLEAN("Prepend SPS and PPS to IDR", MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR, 0),
                BOOLEAN("Generate Access Unit Delimiters", MPEG_VIDEO_AU_DELIMITER, 1),
                INTEGER("H264 I-Frame QP Value", MPEG_VIDEO_H264_I_FRAME_QP, 0, 63, 1, 30),
                INTEGER("H264 Minimum QP Value", MPEG_VIDEO_H264_MIN_QP, 0, 63, 1, 8),
                INTEGER("H264 Maximum QP Value", MPEG_VIDEO_H264_MAX_QP, 0, 63, 1, 51),
                MENU("H264 Entropy Mode", MPEG_VIDEO_H264_ENTROPY_MODE, 1, 0, 0),
                INTEGER("H264 I-Frame Period", MPEG_VIDEO_H264_I_PERIOD, 0, 2047, 1, 0),
                MENU("H264 Level", MPEG_VIDEO_H264_LEVEL, V4L2_MPEG_VIDEO_H264_LEVEL_5_1,
                     V4L2_MPEG_VIDEO_H264_LEVEL_1_0, 0),
                MENU("H264 Profile", MPEG_VIDEO_H264_PROFILE,
                     V4L2_MPEG_VIDEO_H264_PROFILE_HIGH_444_PREDICTIVE,
                     V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE, 0),
            },
    },
    {
        .name = "venus",
        .driver = "qcom-venus",
        .card = "Qualcomm Venus video encoder",
        .bus = "platform:qcom-venus",
        .formats = {{V4L2_PIX_FMT_NV12, 128}},
        .sizes = {96, 4096, 16, 96, 4096, 16},
        .padded_width = 128,
        .padded_height = 32,
        .crops_by_itself = true,
        .chroma_lines = 16,
        .extra = 3 * 4096,
        .least_buffers = 4,
        .contexts = 16,
        .counted = AT_OPEN,
        .refusal = EAGAIN,
        .live_bitrate = true,
        .flags_key_frames = true,
        .headers = V4L2_CID_MPEG_VIDEO_HEADER_MODE,
        .controls =
            {
                INTEGER("Video B Frames", MPEG_VIDEO_B_FRAMES, 0, 4, 1, 0),
                INTEGER("Video GOP Size", MPEG_VIDEO_GOP_SIZE, 0, 65535, 1, 30),
                MENU("Video Bitrate Mode", MPEG_VIDEO_BITRATE_MODE, 1, 0, 0),
                INTEGER("Video Bitrate", MPEG_VIDEO_BITRATE, 32000, 160000000, 100, 1000000),
                INTEGER("Video Peak Bitrate", MPEG_VIDEO_BITRATE_PEAK, 32000, 160000000, 100,
                        2000000),
                BOOLEAN("Frame Level Rate Control Enable", MPEG_VIDEO_FRAME_RC_ENABLE, 1),
                MENU("Sequence Header Mode", MPEG_VIDEO_HEADER_MODE, 1, 0, 0),
                MENU("Slice Partitioning Method", MPEG_VIDEO_MULTI_SLICE_MODE, 2, 0, 0),
                BUTTON("Force Key Frame", MPEG_VIDEO_FORCE_KEY_FRAME),
                MENU("H264 Entropy Mode", MPEG_VIDEO_H264_ENTROPY_MODE, 1, 0, 0),
                INTEGER("H264 I-Frame Period", MPEG_VIDEO_H264_I_PERIOD, 0, 65535, 1, 0),
                MENU("H264 Level", MPEG_VIDEO_H264_LEVEL, V4L2_MPEG_VIDEO_H264_LEVEL_5_1,
                     V4L2_MPEG_VIDEO_H264_LEVEL_1_0, 0),
                MENU("H264 Profile", MPEG_VIDEO_H264_PROFILE,
                     V4L2_MPEG_VIDEO_H264_PROFILE_MULTIVIEW_HIGH,
                     V4L2_MPEG_VIDEO_H264_PROFILE_HIGH,
                     PROFILES_OF_FOUR &
                         ~((1ULL << V4L2_MPEG_VIDEO_H264_PROFILE_STEREO_HIGH) |
                           (1ULL << V4L2_MPEG_VIDEO_H264_PROFILE_MULTIVIEW_HIGH))),
            },
    },
    {
        .name = "vsi_v4l2",
        .driver = "vsi_v4l2",
        .card = "vsi_v4l2enc",
        .bus = "platform:vsi_v4l2enc",
        .formats = {{V4L2_PIX_FMT_NV12, 16},
                    {V4L2_PIX_FMT_YUV420, 16},
                    {V4L2_PIX_FMT_NV21, 16},
                    {V4L2_PIX_FMT_YUYV, 32}},
        .sizes = {144, 1920, 4, 96, 4080, 4},
        .padded_width = 4,
        .padded_height = 2,
        .chroma_lines = 1,
        .least_buffers = 1,
        .contexts = 200,
        .counted = AT_OPEN,
        .refusal = EBUSY,
        .has_encoder_cmd = true,
        .has_eos_event = true,
        .takes_stride = true,
        .live_bitrate = true,
        .flags_key_frames = true,
        .rate_switch = V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE,
        .gop = V4L2_CID_MPEG_VIDEO_GOP_SIZE,
        .headers = V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER,
        .controls =
            {
                INTEGER("Min Number of Capture Buffers", MIN_BUFFERS_FOR_CAPTURE, 1, 16, 1, 1),
                INTEGER("Min Number of Output Buffers", MIN_BUFFERS_FOR_OUTPUT, 1, 16, 1, 1),
                INTEGER("Rotate", ROTATE, 0, 270, 90, 0),
                INTEGER("Video B Frames", MPEG_VIDEO_B_FRAMES, 0, 0, 1, 0),
                INTEGER("Video GOP Size", MPEG_VIDEO_GOP_SIZE, 1, INT32_MAX, 1, 30),
                MENU("Video Bitrate Mode", MPEG_VIDEO_BITRATE_MODE, 1, 0, 0),
                INTEGER("Video Bitrate", MPEG_VIDEO_BITRATE, 10000, 288000000, 1, 2097152),
                BOOLEAN("Frame Level Rate Control Enable", MPEG_VIDEO_FRAME_RC_ENABLE, 1),
                MENU("Sequence Header Mode", MPEG_VIDEO_HEADER_MODE, 1, 1, 0),
                INTEGER("Max Number of MBs in a Slice", MPEG_VIDEO_MULTI_SLICE_MAX_MB, 1, 120, 1, 1),
                MENU("Slice Partitioning Method", MPEG_VIDEO_MULTI_SLICE_MODE, 1, 0, 0),
                BOOLEAN("H264 MB Level Rate Control", MPEG_VIDEO_MB_RC_ENABLE, 0),
                BOOLEAN("Repeat Sequence Header", MPEG_VIDEO_REPEAT_SEQ_HEADER, 1),
                BUTTON("Force Key Frame", MPEG_VIDEO_FORCE_KEY_FRAME),
                INTEGER("H264 I-Frame QP Value", MPEG_VIDEO_H264_I_FRAME_QP, -1, 51, 1, 30),
                INTEGER("H264 P-Frame QP Value", MPEG_VIDEO_H264_P_FRAME_QP, -1, 51, 1, 30),
                INTEGER("H264 B-Frame QP Value", MPEG_VIDEO_H264_B_FRAME_QP, -1, 51, 1, 30),
                INTEGER("H264 Minimum QP Value", MPEG_VIDEO_H264_MIN_QP, 0, 51, 1, 0),
                INTEGER("H264 Maximum QP Value", MPEG_VIDEO_H264_MAX_QP, 0, 51, 1, 51),
                INTEGER("H264 CPB Buffer Size", MPEG_VIDEO_H264_CPB_SIZE, 0, 288000000, 1, 0),
                INTEGER("H264 Chroma QP Index Offset", MPEG_VIDEO_H264_CHROMA_QP_INDEX_OFFSET, -12,
                        12, 1, 0),
                MENU("H264 Level", MPEG_VIDEO_H264_LEVEL, V4L2_MPEG_VIDEO_H264_LEVEL_5_1,
                     V4L2_MPEG_VIDEO_H264_LEVEL_5_0, 0),
                MENU("H264 Profile", MPEG_VIDEO_H264_PROFILE,
                     V4L2_MPEG_VIDEO_H264_PROFILE_MULTIVIEW_HIGH,
                     V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE, 0),
            },
    },
};

const struct personality *personality_named(const char *name) {
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!strcmp(all[i].name, name)) return &all[i];
  return NULL;
}

int personality_control(const struct personality *personality, uint32_t id) {
  uint32_t next = id & V4L2_CTRL_FLAG_NEXT_CTRL, wanted = id & ~V4L2_CTRL_FLAG_NEXT_CTRL;
  int found = -1;
  if (id & V4L2_CTRL_FLAG_NEXT_COMPOUND && !next) return -1;
  wanted &= ~V4L2_CTRL_FLAG_NEXT_COMPOUND;
  for (int i = 0; i < CODEC_CONTROLS && personality->controls[i].id; i++) {
    uint32_t own = personality->controls[i].id;
    if (!next && own == wanted) return i;
    bool nearer = found < 0 || own < personality->controls[found].id;
    if (next && own > wanted && nearer) found = i;
  }
  return found;
}
