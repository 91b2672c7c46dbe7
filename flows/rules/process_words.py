"""Words that give a criterion away, in English and German, as patterns; each list names one failing.

Kept short on purpose: a word is in here when it nearly always means that failing in an exit criterion.
"""

import re
from collections.abc import Mapping


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(patterns) + r")(?!\w)", re.IGNORECASE)


# Not in every sale: Required.
OPTIONAL = _any(
    r"if (?:applicable|needed|necessary|required|relevant|possible|appropriate|desired|any|wanted|time permits)",
    r"(?:when|where|as) (?:applicable|needed|necessary|required|relevant|possible|appropriate)",
    r"optional(?:ly)?|ideally|preferably|nice to have|usually|normally|typically|in most cases|sometimes",
    r"may or may not|not always|unless",
    r"falls (?:nötig|notwendig|erforderlich|vorhanden|gewünscht|zutreffend|möglich|relevant|sinnvoll)",
    r"wenn (?:nötig|möglich|gewünscht|erforderlich|vorhanden)|(?:bei|nach) bedarf|gegebenenfalls|ggf\.?",
    r"optionale?[rsn]?|idealerweise|in der regel|meistens|manchmal|üblicherweise|eventuell|evtl\.?",
)

# A feeling or a guess: Factual.
FEELING = _any(
    r"feels?|felt|seems?|seemed|appears? to|looks? (?:good|promising|like)|sounds? (?:good|promising)",
    r"(?:un)?likely|probably|presumably|maybe|perhaps|hopefully|might|we (?:hope|think|believe|expect|assume)",
    r"(?:is|are|be|very|really|highly|was|genuinely) (?:interested|keen|happy|excited|engaged|committed to us)",
    r"(?:shows?|showed|shown|strong|real|genuine|serious) interest|interested|enthusias\w+|impressed|convinced",
    r"confident|confidence|gut feeling",
    r"(?:good|great|strong|positive) (?:call|chance\w*|champion|conversation|feedback|feeling|fit|impression|meeting)",
    r"(?:good|great|strong|positive) (?:relationship|signals?|talk|vibe\w*)|relationship (?:is )?(?:built|established)",
    r"(?:is|are) committed|on our side|ready to (?:buy|close|move|sign)|understands?|comfortable|sees? the value",
    r"urgent(?:ly)?",
    r"trusts? us|likes? (?:us|our|the)|rapport|warmed up|believes? in",
    r"wahrscheinlich\w*|vermutlich|voraussichtlich|hoffentlich|vielleicht|scheint|scheinen|wirkt|gefühl\w*",
    r"interessiert|interesse|überzeugt|begeistert|zuversichtlich|zufrieden|eindruck|vertraut uns",
    r"gute[ns]? (?:beziehung|chancen?|gespräch|gefühl)|gut angekommen|verstanden|kaufbereit|steht hinter uns|dringend",
    r"wir (?:glauben|hoffen|denken|erwarten)",
)

# A share of certainty: Factual. A discount or a part payment is a fact and is left alone.
PERCENTAGE = re.compile(
    r"\d+(?:[.,]\d+)?\s?(?:%|percent\b|per cent\b|prozent\b)|\b(?:probability|wahrscheinlichkeit|chances?)\b",
    re.I,
)
MONEY_SHARE = _any(
    r"discount\w*|paid|pay\w*|deposit|prepay\w*|share|margin|vat|tax\w*|down payment|uptime|availability|commission",
    r"rabatt\w*|nachlass|anzahlung|bezahlt|zahlung\w*|anteil|marge|mwst\.?|umsatzsteuer|verfügbarkeit|provision",
)

# Neither yes nor no: Factual.
VAGUE = _any(
    r"enough|sufficient(?:ly)?|adequate(?:ly)?|reasonabl[ey]|appropriate(?:ly)?|soon|asap|ongoing|in progress",
    r"working on|trying to|as far as|more or less|various|properly|and so on|etc",
    r"well (?:understood|qualified|informed)",
    r"genug|genügend|ausreichend\w*|hinreichend\w*|angemessen\w*|bald|demnächst|laufend\w*|in arbeit|weitgehend",
    r"einigermaßen|mehr oder weniger|usw\.?|verschiedene",
)
QUESTION = re.compile(
    r"\?\s*$|^(?:how|what|why|who|when|which|wie|was|warum|wer|wann|welche[rsmn]?)\s.*\?*$", re.IGNORECASE
)

# Goes on where we cannot look: Inspectable.
INTERNAL = _any(
    r"internal(?:ly)?|among themselves|between themselves|behind closed doors|sle(?:ep|eps|pt) on it",
    r"th(?:ink|inks|inking|ought) (?:it |this |about |the \w+ )?(?:over|through|about)|consider(?:s|ed|ing)?",
    r"(?:board|committee|management|buyer|team|they|customer|prospect)s? (?:has |have )?(?:discuss|debat|reflect)\w*",
    r"ask(?:s|ed)? (?:a|his|her|their|the) (?:colleague|boss|manager|team|spouse)\w*|made up (?:his|her|their) minds?",
    r"on board|bought in|buy-in|intern(?:e[rsnm]?)?|unter sich|beraten|berät|diskutiert|überschlafen|nachgedacht",
    r"überlegt|durchdacht|abgewogen|(?:seinen|ihren|einen) (?:chef|kollegen|vorgesetzten) gefragt",
)
# ... unless the sentence says how we came to know.
TOLD = _any(
    r"told (?:us|me)|(?:has|have) (?:named|told|sent|given|confirmed|shared|signed|written|stated|accepted|approved)",
    r"confirm\w*|in writing|written|minutes|by e-?mail|with us|to us|signed|informed us|named",
    r"(?:uns|mit uns) (?:\w+ )*(?:gesagt|mitgeteilt|bestätigt|genannt|geschickt|geteilt)|mitgeteilt|bestätigt",
    r"schriftlich|protokoll|per e-?mail|unterschrieben|genannt",
)

_SELLER = r"(?:we|the rep|rep|our \w+|sales|i|you|the seller|seller|the account executive|ae|sdr)"
_DID = (
    r"(?:sent|called|e-?mailed|mailed|presented|shown|showed|given|gave|made|held|prepared|delivered|followed|contacted|"
    r"pitched|demoed|demonstrated|shared|submitted|scheduled|left|reached|visited|invited|completed|done|offered|created|"
    r"written|drafted|introduced|explained|run|met|phoned)"
)
# The seller did something, whatever came of it: Buyer-centric.
SELLER_ACT = re.compile(
    rf"^(?:{_SELLER}(?: have| has|'ve)? (?:already |now )?{_DID}\b"
    rf"|(?:an? |the |our |first |second |intro )*(?:e-?mail|proposal|demo|presentation|call|brochure|pitch|offer|quote|"
    rf"contract|deck|voicemail|invitation|meeting|reminder)s? (?:has been |have been |was |were |is )?{_DID}\b"
    r"|(?:wir haben|der vertrieb hat|der verkäufer hat|vertrieb hat)\b.*\b(?:gesendet|geschickt|versandt|angerufen|"
    r"gesandt|präsentiert|vorgeführt|gezeigt|verschickt|besucht|erstellt|gehalten|kontaktiert|vorgestellt|eingeladen|"
    r"geschrieben)\b"
    r"|(?:angebot|präsentation|demo|e-?mail|broschüre|vertrag|einladung)\b.*\b(?:gesendet|geschickt|versandt|verschickt|"
    r"gehalten|vorgeführt|gezeigt|erstellt)\b)",
    re.IGNORECASE,
)
SELLER_STEP = re.compile(
    r"^(?:we|our|the rep|rep|sales|the seller|wir|unser\w*|der vertrieb)\b|^(?:receives|gets) our\b",
    re.IGNORECASE,
)

# Waiting and chasing: never a stage.
FOLLOW_UP = _any(
    r"follow(?:ing)?[ _-]?ups?|chas(?:e|ing)|nurtur(?:e|ing)|waiting(?: for .*)?|on hold|pending|reminders?",
    r"no response|awaiting .*|nachfass\w*|nachhaken|wiedervorlage|warte\w*|in wartestellung|erinnerung\w*|pausiert",
)

# Holds a place in the file, or tells the rep to chase: says nothing about how the buyer is helped.
PLACEHOLDER = _any(
    r"tbd|tbc|todo|to do|to be (?:defined|done|decided)|n/?a|none|nothing|same as (?:above|before)|x+",
    r"see above|lorem.*",
    r"offen|entfällt|keine?|nichts|wie oben|siehe oben|sell|verkaufen",
)
CHASING = _any(
    r"follow(?:ing)? up|chase|check(?:ing)? in|touch base|wait(?:ing)?|push(?:ing)?|circle back",
    r"keep pushing|sell harder",
    r"close the deal|convince|persuade|hit (?:the )?quota|nachfassen|nachhaken|abwarten|drängen|druck machen|überreden",
)

# What a sentence speaks of when it can be proven by this evidence. A kind that is not listed is taken on trust.
TOPICS: Mapping[tuple[str, str], re.Pattern[str]] = {
    ("property", "amount"): re.compile(
        r"budget|price|pricing|amount|value|sum\b|cost|worth|money|spend|fund|€|\$|eur\b|usd\b|betrag|preis|kosten|wert|"
        r"geld|summe|volumen|mittel",
        re.I,
    ),
    ("property", "dealflow_need"): re.compile(
        r"need|problem|requirement|want|pain|goal|challenge|ask|look\w* for|bedarf|bedürf|problem|anforder|ziel|wunsch|"
        r"wünsch|brauch|herausforder|benötig",
        re.I,
    ),
    ("property", "closedate"): re.compile(
        r"date|when|by\b|deadline|day|week|month|quarter|time|start|termin|datum|wann|bis\b|frist|tag|woche|monat|quartal|zeit",
        re.I,
    ),
    ("property", "dealflow_starts_on"): re.compile(
        r"start|begin|date|when|day|go[- ]?live|beginn|datum|wann|tag|ab\b", re.I
    ),
    ("property", "hubspot_owner_id"): re.compile(
        r"owner|rep\b|responsib|assign|account (?:manager|executive)|who|colleague|zuständig|verantwort|"
        r"zugewiesen|inhaber|wer\b",
        re.I,
    ),
    ("contact", "signer"): re.compile(r"sign|unterschr|unterzeich|zeichn", re.I),
    ("contact", "decision_maker"): re.compile(r"deci|approv|say\b|entsch|freig", re.I),
    ("document", "proposal"): re.compile(r"propos|offer|quot|document|angebot|dokument|vorschlag", re.I),
    ("document", "contract"): re.compile(
        r"contract|agreement|document|paper|vertrag|vereinbarung|dokument", re.I
    ),
    ("signature", "completed"): re.compile(
        r"sign|contract|agreement|unterschr|unterzeich|vertrag|vereinbarung", re.I
    ),
}
