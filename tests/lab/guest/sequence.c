/* In libcamera's pipeline for vimc, and nowhere else in it, a request is asked for its
 * number after it was given back: VimcCameraData::bufferReady() of
 * src/libcamera/pipeline/vimc/vimc.cpp calls request->sequence() behind
 * completeRequest() (0.0.3, and later ones). libcamerasrc has freed it by then where
 * its thread was faster, and the process ends (SIGSEGV). That pipeline's IPA does
 * nothing with the number, so that any will do. For LD_PRELOAD, under the agent in
 * the tests' machine.
 */
unsigned int _ZNK9libcamera7Request8sequenceEv(const void *request) {
  (void)request;
  return 0;
}
