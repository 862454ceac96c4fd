// What the page says, English and Korean side by side; a function where a number or a name goes in.

export const WORDS = {
  en: {
    looking: "looking for the run", waiting: "waiting for the run to begin", running: "running", finished: "finished",
    ended: "the server has ended; this is what was known",
    quiet: (seconds) => `; nothing new for ${seconds} s`,
    over: "Share of the run that is over",
    figures: (step, seconds, loss, rate) => [`step ${step}`, `${seconds} s`, loss && `loss ${loss}`, rate && `rate ${rate}`],
    warning: (step, message) => `step ${step}: ${message}`,
    neighbours: "Nearest neighbours", measurement: "Measurement", early: "They appear with the first measurement.",
    moment: (step, among, before) => `After step ${step}, among ${among} texts.${before ? " What was not among the nearest at the measurement before is bold." : ""}`,
    axes: { step: "step", loss: "loss", alignment: "alignment", uniformity: "uniformity", directions: "directions", norm: "norm", direction: "direction", share: "log10 of its share" },
    loss: ["Loss", "Falls while there is something to learn; the smoothed one is the line."],
    measured: ["Measurements", "On what is measured on; what counts in the end."],
    path: ["Alignment and uniformity", "To the left near texts come together, down all texts spread out; the large point is now. A way to the upper left is a collapse."],
    rank: ["Effective rank", "Directions in use in a sample of the batch; the dashes are what is possible."],
    spectrum: ["Spectrum", "Share of each direction in the texts that are followed, as a logarithm: the first measurement pale, the last strong. A cliff is a collapse."],
    gradient: ["Gradient", "Its length before it is clipped. Jumps ask for a lower learning rate."],
  },
  ko: {
    looking: "실행을 찾는 중", waiting: "실행이 시작되기를 기다리는 중", running: "실행 중", finished: "끝남",
    ended: "서버가 끝났습니다. 마지막으로 알려진 내용입니다",
    quiet: (seconds) => `, ${seconds}초 동안 새 소식 없음`,
    over: "실행이 진행된 비율",
    figures: (step, seconds, loss, rate) => [`${step}단계`, `${seconds}초`, loss && `손실 ${loss}`, rate && `학습률 ${rate}`],
    warning: (step, message) => `${step}단계: ${message}`,
    neighbours: "가장 가까운 이웃", measurement: "측정", early: "첫 측정과 함께 나타납니다.",
    moment: (step, among, before) => `${step}단계 뒤, 텍스트 ${among}개 가운데에서 찾았습니다.${before ? " 바로 앞 측정에서 이웃이 아니던 것은 굵게 씁니다." : ""}`,
    axes: { step: "단계", loss: "손실", alignment: "정렬", uniformity: "균일도", directions: "방향 수", norm: "크기", direction: "방향", share: "몫의 log10" },
    loss: ["손실", "배울 것이 있는 동안 내려갑니다. 선은 부드럽게 고른 손실입니다."],
    measured: ["측정", "평가 자료에서 잰 값입니다. 결국 이것이 중요합니다."],
    path: ["정렬과 균일도", "왼쪽으로 갈수록 가까워야 할 텍스트가 모이고, 아래로 갈수록 모든 텍스트가 퍼집니다. 큰 점이 지금입니다. 왼쪽 위로 가면 붕괴입니다."],
    rank: ["유효 차수", "배치의 표본이 쓰는 방향의 수입니다. 점선은 가능한 최대입니다."],
    spectrum: ["스펙트럼", "지켜보는 텍스트에서 각 방향이 차지하는 몫의 로그입니다. 첫 측정은 옅게, 마지막은 짙게 그립니다. 절벽은 붕괴입니다."],
    gradient: ["기울기", "자르기 전의 크기입니다. 크게 튀면 학습률을 낮추세요."],
  },
};

// As ?language= of the address asks, else as the browser does.
export const language = (new URLSearchParams(location.search).get("language") ?? navigator.language).startsWith("ko") ? "ko" : "en";
export const words = WORDS[language];
